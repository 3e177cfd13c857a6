"""The page that people vote on, and those that show what was learnt and how it goes; who may see which."""

from palate.web._app import create_app
from palate.web._figures import Learning
from palate.web._public import Public, public_address
from palate.web._server import check_public, serve

__all__ = ["Learning", "Public", "check_public", "create_app", "public_address", "serve"]
