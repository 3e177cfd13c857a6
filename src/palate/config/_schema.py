"""The JSON Schema of a study file, for editors."""

from typing import Any

from palate.config._tables import StudyConfig

__all__ = ["json_schema"]


def json_schema() -> dict[str, Any]:
    """Describe a study file as JSON Schema (draft 2020-12).

    Options of parts are open: which there are depends on the part, and on what is installed.
    """
    schema = StudyConfig.model_json_schema()
    title = {"title": "Palate study file", "description": "Settings of one Palate study, as TOML."}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, **title}
