"""The API's description in a browser: `python -m local.docs` serves docs/openapi.yaml, without internet.

The page is Swagger UI, which Powertools for AWS Lambda brings along.
"""

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from cli.interrupts import interrupt_on_signals
from cli.progress import Progress
from local.guard import Application, Guard
from local.options import ROOT, port_in
from local.processes import ServerError

_HOST = "127.0.0.1"
_FILES = {
    "openapi.yaml": (ROOT / "docs" / "openapi.yaml", "application/yaml"),
    "swagger-ui-bundle.min.js": (None, "text/javascript"),
    "swagger-ui.min.css": (None, "text/css"),
}
# Nothing is validated at a site of Swagger's, and no request is made from here: AWS wants signatures.
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>CXone Messaging</title>
<link rel="stylesheet" href="/docs/swagger-ui.min.css">
<link rel="icon" href="data:,">
<div id="page"></div>
<script src="/docs/swagger-ui-bundle.min.js"></script>
<script>
SwaggerUIBundle({
  dom_id: "#page", url: "/openapi.yaml", validatorUrl: null, supportedSubmitMethods: [],
  docExpansion: "list", defaultModelsExpandDepth: 0,
});
</script>
</html>
"""


def application() -> Application:
    """Return the application: the page, its parts, and the description that it shows."""
    page = Route("/docs/", lambda _: HTMLResponse(_PAGE))
    start = Route("/", lambda _: RedirectResponse("/docs/"))
    description, *parts = _FILES
    files = [
        Route(f"/{description}", _serving(description)),
        *(Route(f"/docs/{each}", _serving(each)) for each in parts),
    ]
    return Guard(Starlette(routes=[start, page, *files]))


def _serving(name: str) -> Callable[[Request], Response]:
    path, kind = _FILES[name]
    return lambda _: FileResponse(path or _swagger_ui() / name, media_type=kind, headers={"Cache-Control": "no-cache"})


def _swagger_ui() -> Path:
    found = importlib.util.find_spec("aws_lambda_powertools")
    if found is None or found.origin is None:
        raise FileNotFoundError("Powertools for AWS Lambda is not installed")
    return Path(found.origin).parent / "event_handler" / "openapi" / "swagger_ui"


def main() -> int:
    """Serve until the process is ended."""
    progress = Progress()
    interrupt_on_signals()
    try:
        port = port_in(os.environ, "DOCS_PORT", 8091)
        config = uvicorn.Config(application(), port=port, log_level="warning")
        listening = config.bind_socket()
    except ServerError as error:
        progress.error(str(error))
        return 1
    except (OSError, SystemExit) as error:
        progress.error(f"can't listen there; set DOCS_PORT to a free port ({error})")
        return 1
    progress.console.print(f"http://{_HOST}:{port}/ shows docs/openapi.yaml; Ctrl-C ends it")
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
