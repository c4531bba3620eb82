"""The API's description in a browser: `python -m local.docs` serves docs/openapi.yaml, needing no internet."""

import os
import sys
from typing import Any

from flask import Flask, Response, redirect, request, send_file
from flask_swagger_ui import get_swaggerui_blueprint
from werkzeug.serving import make_server
from werkzeug.wrappers import Response as Redirection

from cli.progress import Progress
from local.guard import refusal
from local.options import ROOT
from local.processes import interrupt_when_told_to_end

_DESCRIPTION = "/openapi.yaml"
_PAGE = "/docs"
_SHOWN: dict[str, Any] = {
    "validatorUrl": None,  # it would ask a site of Swagger's
    "supportedSubmitMethods": [],  # a page from here may not call the API there, and AWS wants signatures
    "docExpansion": "list",
    "defaultModelsExpandDepth": 0,
}


def application() -> Flask:
    """Put together the page, Swagger UI as its package ships it, and the description that it shows."""
    app = Flask(__name__)
    app.register_blueprint(get_swaggerui_blueprint(_PAGE, _DESCRIPTION, config=_SHOWN))

    @app.before_request
    def guard() -> tuple[str, int] | None:
        reason = refusal(request.headers.items(), int(request.environ["SERVER_PORT"]))
        return (reason, 403) if reason else None

    @app.get(_DESCRIPTION)
    def description() -> Response:
        return send_file(ROOT / "docs" / "openapi.yaml", mimetype="application/yaml", max_age=0)

    @app.get("/")
    def start() -> Redirection:
        return redirect(f"{_PAGE}/")

    return app


def main() -> int:
    """Serve until somebody ends it."""
    progress = Progress()
    interrupt_when_told_to_end()
    try:
        server = make_server("127.0.0.1", int(os.environ.get("DOCS_PORT") or "8091"), application(), threaded=True)
    except (OSError, ValueError, SystemExit) as error:
        progress.error(f"can't listen there; set DOCS_PORT to a free port ({error})")
        return 1
    progress.console.print(f"http://127.0.0.1:{server.port}/ shows docs/openapi.yaml; Ctrl-C ends it")
    server.serve_forever()  # which takes Ctrl-C for its end
    return 0


if __name__ == "__main__":
    sys.exit(main())
