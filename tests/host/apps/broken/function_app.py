"""An app that cannot be indexed: its function takes an argument that no binding gives it."""

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route("ping")
async def ping(req: Request, missing: str) -> Response:
    return Response(missing)
