PRAGMA application_id = 1346456660;
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
CREATE TABLE belief (
	seq INTEGER NOT NULL, 
	votes INTEGER NOT NULL, 
	best TEXT NOT NULL, 
	p_best FLOAT NOT NULL, 
	win_rate FLOAT NOT NULL, 
	payload TEXT, 
	PRIMARY KEY (seq)
);
CREATE TABLE comment (
	seq INTEGER NOT NULL, 
	salt VARCHAR(32) NOT NULL, 
	words BLOB NOT NULL, 
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
	reopened INTEGER NOT NULL, until VARCHAR(40) DEFAULT '' NOT NULL, expired INTEGER DEFAULT '0' NOT NULL, planted VARCHAR(10) DEFAULT '' NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "duel" VALUES('c07a68e93448dd885ea06580cc889910',9,'pairing-0','anna',1,'4530364e6086d090',0,0,'2026-11-21T08:15:00.000+00:00',0,'');
INSERT INTO "duel" VALUES('2ac2a2075be19b5969b483d9f737cc61',10,'pairing-1','anna',1,'4530364e6086d090',0,0,'2026-11-21T08:15:00.000+00:00',0,'');
INSERT INTO "duel" VALUES('c90e0a6f651c33c18d856401609f0929',11,'pairing-2','anna',1,'4530364e6086d090',1,15,'2026-11-21T08:15:00.000+00:00',0,'');
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
INSERT INTO "event" VALUES(9,'2026-11-21T08:00:00.000+00:00','duel_shown','anna','{"guideline_version":"4530364e6086d090","id":"c07a68e93448dd885ea06580cc889910","judge":"anna","pairing_id":"pairing-0","swapped":true,"until":"2026-11-21T08:15:00.000+00:00"}','786c51853b1f9ced692ee96b7c8b2084c21f3c32fd1dbc2582a497f1c2f9e2a6');
INSERT INTO "event" VALUES(10,'2026-11-21T08:00:00.000+00:00','duel_shown','anna','{"guideline_version":"4530364e6086d090","id":"2ac2a2075be19b5969b483d9f737cc61","judge":"anna","pairing_id":"pairing-1","swapped":true,"until":"2026-11-21T08:15:00.000+00:00"}','ee33b4cb3de034dad1b2c3544c62b7e746e0d4583bb8dbfaefbf648b16e89134');
INSERT INTO "event" VALUES(11,'2026-11-21T08:00:00.000+00:00','duel_shown','anna','{"guideline_version":"4530364e6086d090","id":"c90e0a6f651c33c18d856401609f0929","judge":"anna","pairing_id":"pairing-2","swapped":true,"until":"2026-11-21T08:15:00.000+00:00"}','f55a1283c94b7a49f9e65913989dbb2bb7b5072743f2c216f0194b34b9101626');
INSERT INTO "event" VALUES(12,'2026-11-21T08:00:00.000+00:00','voted','anna','{"comment":null,"duel_id":"c07a68e93448dd885ea06580cc889910","fingerprint":"feb739f7681aff75aef1bbb36e85ecc5f417f75358296290179998324380c3d3","key":"key-c07a68e93448dd885ea06580cc889910","reason":null,"seconds":1.5,"verdict":"right"}','b34d500acb8e3c2a853548cafd539f4205e2cc9504466b9e6e27db2231a03157');
INSERT INTO "event" VALUES(13,'2026-11-21T08:00:00.000+00:00','voted','anna','{"comment":null,"duel_id":"2ac2a2075be19b5969b483d9f737cc61","fingerprint":"3e9805949d4017a5a7bc59be5d8c5afec6bd7a610fabfde8ff3a3214476f89a0","key":"key-2ac2a2075be19b5969b483d9f737cc61","reason":null,"seconds":1.5,"verdict":"tie"}','511f2e1134ba58582d1172aa874d93109eb09b04de6470dd12c5ab2c360ae8a5');
INSERT INTO "event" VALUES(14,'2026-11-21T08:00:00.000+00:00','voted','anna','{"comment":null,"duel_id":"c90e0a6f651c33c18d856401609f0929","fingerprint":"be81c956624272bab4f477ba735ab395866643b94a704df0039693d8b1243197","key":"key-c90e0a6f651c33c18d856401609f0929","reason":null,"seconds":1.5,"verdict":"left"}','08c7006b2d062a450162da23e033d4176234b9521a420e689c98cc60d0ee0e10');
INSERT INTO "event" VALUES(15,'2026-11-21T08:00:00.000+00:00','undone','anna','{"duel_id":"c90e0a6f651c33c18d856401609f0929","until":"2026-11-21T08:15:00.000+00:00","vote_seq":14}','ab571d54d50bb44bcc41a4872ed5d2d28feb840e1fb9bbf1758cd01f85d249bf');
CREATE TABLE pairing (
	id TEXT NOT NULL, 
	seq INTEGER NOT NULL, 
	input_id TEXT NOT NULL, 
	first TEXT NOT NULL, 
	second TEXT NOT NULL, 
	first_response VARCHAR(64) NOT NULL, 
	second_response VARCHAR(64) NOT NULL, 
	state VARCHAR(10) NOT NULL, wanted INTEGER DEFAULT '1' NOT NULL, given INTEGER DEFAULT '0' NOT NULL, held INTEGER DEFAULT '0' NOT NULL, assigned TEXT DEFAULT '' NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "pairing" VALUES('pairing-0',4,'in-0','81b89b7b3e5cc4b0','2b635003d165ea0d','90f3385b081a13c91af3de1b9bc1c44777e0c2e43ecbd02fa1549ce598f22d71','a8f5c0bd65af7885570f975ab009a9aaeaf2207476c8426cb0b91ad373fce4fe','voted',1,1,0,'');
INSERT INTO "pairing" VALUES('pairing-1',5,'in-1','81b89b7b3e5cc4b0','2b635003d165ea0d','ccdd36c5d82cb38f99c16622b45d6acb2af8a7d6027e210f76b89f4f40762902','7d0e010d80ce752c76591e5ee028544d04d6d43feab9f68a9cd53dd5cc83a126','voted',1,1,0,'');
INSERT INTO "pairing" VALUES('pairing-2',6,'in-0','81b89b7b3e5cc4b0','2b635003d165ea0d','90f3385b081a13c91af3de1b9bc1c44777e0c2e43ecbd02fa1549ce598f22d71','a8f5c0bd65af7885570f975ab009a9aaeaf2207476c8426cb0b91ad373fce4fe','shown',1,0,1,'');
INSERT INTO "pairing" VALUES('pairing-3',7,'in-1','81b89b7b3e5cc4b0','2b635003d165ea0d','ccdd36c5d82cb38f99c16622b45d6acb2af8a7d6027e210f76b89f4f40762902','7d0e010d80ce752c76591e5ee028544d04d6d43feab9f68a9cd53dd5cc83a126','ready',1,0,0,'');
INSERT INTO "pairing" VALUES('pairing-4',8,'in-0','81b89b7b3e5cc4b0','2b635003d165ea0d','90f3385b081a13c91af3de1b9bc1c44777e0c2e43ecbd02fa1549ce598f22d71','a8f5c0bd65af7885570f975ab009a9aaeaf2207476c8426cb0b91ad373fce4fe','ready',1,0,0,'');
CREATE TABLE rater (
	id TEXT NOT NULL, 
	seq INTEGER NOT NULL, 
	assigned TEXT NOT NULL, 
	removed VARCHAR(10) NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE rater_name (
	id TEXT NOT NULL, 
	name BLOB NOT NULL, 
	PRIMARY KEY (id)
);
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
	undone INTEGER NOT NULL, surplus INTEGER DEFAULT '0' NOT NULL, 
	PRIMARY KEY (seq)
);
INSERT INTO "vote" VALUES(12,'c07a68e93448dd885ea06580cc889910','anna','key-c07a68e93448dd885ea06580cc889910','feb739f7681aff75aef1bbb36e85ecc5f417f75358296290179998324380c3d3','right',0,0);
INSERT INTO "vote" VALUES(13,'2ac2a2075be19b5969b483d9f737cc61','anna','key-2ac2a2075be19b5969b483d9f737cc61','3e9805949d4017a5a7bc59be5d8c5afec6bd7a610fabfde8ff3a3214476f89a0','tie',0,0);
INSERT INTO "vote" VALUES(14,'c90e0a6f651c33c18d856401609f0929','anna','key-c90e0a6f651c33c18d856401609f0929','be81c956624272bab4f477ba735ab395866643b94a704df0039693d8b1243197','left',15,0);
CREATE INDEX event_setup ON event (kind, seq) WHERE kind NOT IN ('voted', 'duel_shown', 'undone', 'pairing_opened');
CREATE INDEX pairing_waiting ON pairing (state, seq);
CREATE INDEX duel_open ON duel (judge, reopened, seq) WHERE open = 1;
CREATE UNIQUE INDEX vote_once ON vote ("key", judge);
CREATE UNIQUE INDEX vote_one_per_duel ON vote (duel_id) WHERE undone = 0;
CREATE INDEX vote_latest ON vote (judge, seq) WHERE undone = 0;
CREATE INDEX response_hash ON response (hash);
CREATE UNIQUE INDEX duel_once ON duel (pairing_id, judge, planted);
CREATE INDEX duel_expired ON duel (judge, seq) WHERE expired > 0;
COMMIT;
