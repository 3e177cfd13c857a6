PRAGMA application_id = 1346456660;
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE belief (
	seq INTEGER NOT NULL, 
	votes INTEGER NOT NULL, 
	best TEXT NOT NULL, 
	p_best FLOAT NOT NULL, 
	win_rate FLOAT NOT NULL, 
	payload TEXT, 
	PRIMARY KEY (seq)
);
CREATE TABLE completion (
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "completion" VALUES('request','{"text":"answer"}');
CREATE TABLE duel (
	id TEXT NOT NULL, 
	seq INTEGER NOT NULL, 
	pairing_id TEXT NOT NULL, 
	judge TEXT NOT NULL, 
	swapped INTEGER NOT NULL, 
	guideline_version VARCHAR(64) NOT NULL, 
	open INTEGER NOT NULL, 
	reopened INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "duel" VALUES('cd613e30d8f16adf91b7584a2265b1f5',9,'pairing-0','anna',1,'4530364e6086d090',0,0);
INSERT INTO "duel" VALUES('7ed4d57b1e2feb89414c343c1027c4d1',10,'pairing-1','anna',1,'4530364e6086d090',0,0);
INSERT INTO "duel" VALUES('612e7696a6cecc1b78e510617311d8a3',11,'pairing-2','anna',1,'4530364e6086d090',1,15);
CREATE TABLE event (
	seq INTEGER NOT NULL, 
	at VARCHAR(40) NOT NULL, 
	kind VARCHAR(40) NOT NULL, 
	actor TEXT NOT NULL, 
	payload TEXT NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	PRIMARY KEY (seq)
);
INSERT INTO "event" VALUES(1,'2026-11-21T08:00:00.000+00:00','study_created','palate','{"config":"","guidelines":"Be fair.","settings":{"seed":1}}','8377943d85b0d20c12706ae746fbab07f6c93b7c7512a680bfc7886960de2171');
INSERT INTO "event" VALUES(2,'2026-11-21T08:00:00.000+00:00','inputs_added','palate','{"inputs":[{"fields":{},"id":"in-0","references":[],"text":"Hello?"},{"fields":{},"id":"in-1","references":[],"text":"Why?"}]}','583c74800c37937981034bd1e76f4662a084d88e02d9d499be356271f34cce36');
INSERT INTO "event" VALUES(3,'2026-11-21T08:00:00.000+00:00','candidates_added','palate','{"candidates":[{"id":"81b89b7b3e5cc4b0","lineage":{"detail":{},"model":null,"origin":"user","parents":[]},"parts":{},"text":"Be brief."},{"id":"2b635003d165ea0d","lineage":{"detail":{},"model":null,"origin":"user","parents":[]},"parts":{},"text":"Be kind."}]}','f26a498c794577948a30c230b44fe81c076e6fcd28c18a5b07663113c2ed07af');
INSERT INTO "event" VALUES(4,'2026-11-21T08:00:00.000+00:00','pairing_opened','palate','{"first":"81b89b7b3e5cc4b0","first_response":"90f3385b081a13c91af3de1b9bc1c44777e0c2e43ecbd02fa1549ce598f22d71","id":"pairing-0","input_id":"in-0","second":"2b635003d165ea0d","second_response":"a8f5c0bd65af7885570f975ab009a9aaeaf2207476c8426cb0b91ad373fce4fe"}','c2cca796afddb9047946b22e4788d3503e0064a601494a079a528335ef12c616');
INSERT INTO "event" VALUES(5,'2026-11-21T08:00:00.000+00:00','pairing_opened','palate','{"first":"81b89b7b3e5cc4b0","first_response":"ccdd36c5d82cb38f99c16622b45d6acb2af8a7d6027e210f76b89f4f40762902","id":"pairing-1","input_id":"in-1","second":"2b635003d165ea0d","second_response":"7d0e010d80ce752c76591e5ee028544d04d6d43feab9f68a9cd53dd5cc83a126"}','3800e32e46d9b3db86ce5e8620185da7dd91a0f62893603cdb3431e95e5fc9f0');
INSERT INTO "event" VALUES(6,'2026-11-21T08:00:00.000+00:00','pairing_opened','palate','{"first":"81b89b7b3e5cc4b0","first_response":"90f3385b081a13c91af3de1b9bc1c44777e0c2e43ecbd02fa1549ce598f22d71","id":"pairing-2","input_id":"in-0","second":"2b635003d165ea0d","second_response":"a8f5c0bd65af7885570f975ab009a9aaeaf2207476c8426cb0b91ad373fce4fe"}','7a6d2758c8117cfba161a6b37bc7d7a8ca73541cad64a2bd66d861c5d2eb3b9e');
INSERT INTO "event" VALUES(7,'2026-11-21T08:00:00.000+00:00','pairing_opened','palate','{"first":"81b89b7b3e5cc4b0","first_response":"ccdd36c5d82cb38f99c16622b45d6acb2af8a7d6027e210f76b89f4f40762902","id":"pairing-3","input_id":"in-1","second":"2b635003d165ea0d","second_response":"7d0e010d80ce752c76591e5ee028544d04d6d43feab9f68a9cd53dd5cc83a126"}','6d6a19dfdf4acf6e29ffd886887354197db74dc2f8a153f562c43664dd00c2d3');
INSERT INTO "event" VALUES(8,'2026-11-21T08:00:00.000+00:00','pairing_opened','palate','{"first":"81b89b7b3e5cc4b0","first_response":"90f3385b081a13c91af3de1b9bc1c44777e0c2e43ecbd02fa1549ce598f22d71","id":"pairing-4","input_id":"in-0","second":"2b635003d165ea0d","second_response":"a8f5c0bd65af7885570f975ab009a9aaeaf2207476c8426cb0b91ad373fce4fe"}','1e544364d23101a26decb6707e31f0406237420451ecf99791f925d85a0fbd70');
INSERT INTO "event" VALUES(9,'2026-11-21T08:00:00.000+00:00','duel_shown','anna','{"guideline_version":"4530364e6086d090","id":"cd613e30d8f16adf91b7584a2265b1f5","judge":"anna","pairing_id":"pairing-0","swapped":true}','f62a9bb4067376b5b641ec06da5e7132e996d29e4ca747217296ddd51442c679');
INSERT INTO "event" VALUES(10,'2026-11-21T08:00:00.000+00:00','duel_shown','anna','{"guideline_version":"4530364e6086d090","id":"7ed4d57b1e2feb89414c343c1027c4d1","judge":"anna","pairing_id":"pairing-1","swapped":true}','4de332709c6bc1b1633c1e8db64df87bb328100b72cffd81715f3a0e7ec6bbdf');
INSERT INTO "event" VALUES(11,'2026-11-21T08:00:00.000+00:00','duel_shown','anna','{"guideline_version":"4530364e6086d090","id":"612e7696a6cecc1b78e510617311d8a3","judge":"anna","pairing_id":"pairing-2","swapped":true}','84d75aa29d1c7cf8ecbe22c8a4d65737a27c5cf4abcfde9960cf101c1a758e2c');
INSERT INTO "event" VALUES(12,'2026-11-21T08:00:00.000+00:00','voted','anna','{"comment":null,"duel_id":"cd613e30d8f16adf91b7584a2265b1f5","fingerprint":"cf2f8e8d34bf22d665f32005949717ebf658dec87db0e0113011c9986ffa67cb","key":"key-cd613e30d8f16adf91b7584a2265b1f5","reason":null,"seconds":1.5,"verdict":"right"}','37bcea12d09b4ca694c43951fa87fbeb936069b4e99a10a5965e2e96247c2795');
INSERT INTO "event" VALUES(13,'2026-11-21T08:00:00.000+00:00','voted','anna','{"comment":null,"duel_id":"7ed4d57b1e2feb89414c343c1027c4d1","fingerprint":"5b8938a9dea92d7e612ac1c7962bb75759b0665aea26d152c62dc51e38bb1563","key":"key-7ed4d57b1e2feb89414c343c1027c4d1","reason":null,"seconds":1.5,"verdict":"tie"}','a88b982ce7c6ef1377512813436b99df0f4e2194903d693fed4927288400a897');
INSERT INTO "event" VALUES(14,'2026-11-21T08:00:00.000+00:00','voted','anna','{"comment":null,"duel_id":"612e7696a6cecc1b78e510617311d8a3","fingerprint":"a65aa66cec3b66579f540952c2cd3858c49a0419f7e51c84075b5db2888130d2","key":"key-612e7696a6cecc1b78e510617311d8a3","reason":null,"seconds":1.5,"verdict":"left"}','98ff33ae49c2bb8269a768f178b998e828b0f447429238f848e6e5d389b5f67a');
INSERT INTO "event" VALUES(15,'2026-11-21T08:00:00.000+00:00','undone','anna','{"duel_id":"612e7696a6cecc1b78e510617311d8a3","vote_seq":14}','3738f001b4737e7abbc90027a2c8b27602172fe346add44ef504fce0d3b4974b');
CREATE TABLE pairing (
	id TEXT NOT NULL, 
	seq INTEGER NOT NULL, 
	input_id TEXT NOT NULL, 
	first TEXT NOT NULL, 
	second TEXT NOT NULL, 
	first_response VARCHAR(64) NOT NULL, 
	second_response VARCHAR(64) NOT NULL, 
	state VARCHAR(10) NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "pairing" VALUES('pairing-0',4,'in-0','81b89b7b3e5cc4b0','2b635003d165ea0d','90f3385b081a13c91af3de1b9bc1c44777e0c2e43ecbd02fa1549ce598f22d71','a8f5c0bd65af7885570f975ab009a9aaeaf2207476c8426cb0b91ad373fce4fe','voted');
INSERT INTO "pairing" VALUES('pairing-1',5,'in-1','81b89b7b3e5cc4b0','2b635003d165ea0d','ccdd36c5d82cb38f99c16622b45d6acb2af8a7d6027e210f76b89f4f40762902','7d0e010d80ce752c76591e5ee028544d04d6d43feab9f68a9cd53dd5cc83a126','voted');
INSERT INTO "pairing" VALUES('pairing-2',6,'in-0','81b89b7b3e5cc4b0','2b635003d165ea0d','90f3385b081a13c91af3de1b9bc1c44777e0c2e43ecbd02fa1549ce598f22d71','a8f5c0bd65af7885570f975ab009a9aaeaf2207476c8426cb0b91ad373fce4fe','shown');
INSERT INTO "pairing" VALUES('pairing-3',7,'in-1','81b89b7b3e5cc4b0','2b635003d165ea0d','ccdd36c5d82cb38f99c16622b45d6acb2af8a7d6027e210f76b89f4f40762902','7d0e010d80ce752c76591e5ee028544d04d6d43feab9f68a9cd53dd5cc83a126','ready');
INSERT INTO "pairing" VALUES('pairing-4',8,'in-0','81b89b7b3e5cc4b0','2b635003d165ea0d','90f3385b081a13c91af3de1b9bc1c44777e0c2e43ecbd02fa1549ce598f22d71','a8f5c0bd65af7885570f975ab009a9aaeaf2207476c8426cb0b91ad373fce4fe','ready');
CREATE TABLE response (
	request_key TEXT NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	seconds FLOAT NOT NULL, 
	cost FLOAT, 
	PRIMARY KEY (request_key)
);
INSERT INTO "response" VALUES('81b89b7b3e5cc4b0-0','90f3385b081a13c91af3de1b9bc1c44777e0c2e43ecbd02fa1549ce598f22d71',0.5,0.001);
INSERT INTO "response" VALUES('81b89b7b3e5cc4b0-1','ccdd36c5d82cb38f99c16622b45d6acb2af8a7d6027e210f76b89f4f40762902',0.5,0.001);
INSERT INTO "response" VALUES('2b635003d165ea0d-0','a8f5c0bd65af7885570f975ab009a9aaeaf2207476c8426cb0b91ad373fce4fe',0.5,0.001);
INSERT INTO "response" VALUES('2b635003d165ea0d-1','7d0e010d80ce752c76591e5ee028544d04d6d43feab9f68a9cd53dd5cc83a126',0.5,0.001);
CREATE TABLE text (
	hash VARCHAR(64) NOT NULL, 
	kind VARCHAR(10) NOT NULL, 
	content BLOB NOT NULL, 
	PRIMARY KEY (hash)
);
INSERT INTO "text" VALUES('90f3385b081a13c91af3de1b9bc1c44777e0c2e43ecbd02fa1549ce598f22d71','text',X'42652062726965662E2030');
INSERT INTO "text" VALUES('ccdd36c5d82cb38f99c16622b45d6acb2af8a7d6027e210f76b89f4f40762902','text',X'42652062726965662E2031');
INSERT INTO "text" VALUES('a8f5c0bd65af7885570f975ab009a9aaeaf2207476c8426cb0b91ad373fce4fe','text',X'4265206B696E642E2030');
INSERT INTO "text" VALUES('7d0e010d80ce752c76591e5ee028544d04d6d43feab9f68a9cd53dd5cc83a126','text',X'4265206B696E642E2031');
CREATE TABLE vote (
	seq INTEGER NOT NULL, 
	duel_id TEXT NOT NULL, 
	judge TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	fingerprint VARCHAR(64) NOT NULL, 
	verdict VARCHAR(10) NOT NULL, 
	undone INTEGER NOT NULL, 
	PRIMARY KEY (seq)
);
INSERT INTO "vote" VALUES(12,'cd613e30d8f16adf91b7584a2265b1f5','anna','key-cd613e30d8f16adf91b7584a2265b1f5','cf2f8e8d34bf22d665f32005949717ebf658dec87db0e0113011c9986ffa67cb','right',0);
INSERT INTO "vote" VALUES(13,'7ed4d57b1e2feb89414c343c1027c4d1','anna','key-7ed4d57b1e2feb89414c343c1027c4d1','5b8938a9dea92d7e612ac1c7962bb75759b0665aea26d152c62dc51e38bb1563','tie',0);
INSERT INTO "vote" VALUES(14,'612e7696a6cecc1b78e510617311d8a3','anna','key-612e7696a6cecc1b78e510617311d8a3','a65aa66cec3b66579f540952c2cd3858c49a0419f7e51c84075b5db2888130d2','left',15);
CREATE INDEX event_setup ON event (kind, seq) WHERE kind NOT IN ('voted', 'duel_shown', 'undone', 'pairing_opened');
CREATE INDEX pairing_waiting ON pairing (state, seq);
CREATE INDEX duel_open ON duel (judge, reopened, seq) WHERE open = 1;
CREATE UNIQUE INDEX vote_once ON vote ("key", judge);
CREATE UNIQUE INDEX vote_one_per_duel ON vote (duel_id) WHERE undone = 0;
CREATE INDEX vote_latest ON vote (judge, seq) WHERE undone = 0;
CREATE INDEX response_hash ON response (hash);
COMMIT;
