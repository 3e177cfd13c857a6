"""The page that people vote on, and the page that shows what was learnt."""

from palate.web._app import create_app
from palate.web._server import serve

__all__ = ["create_app", "serve"]
