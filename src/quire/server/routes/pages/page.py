"""The page at /: a few files as they are, which load nothing from elsewhere and run nothing but themselves."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from quire.server.page_files import PAGE_FILES, STATIC

router = APIRouter(include_in_schema=False)

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


async def page_file(request: Request) -> Response:
    name, media_type = PAGE_FILES[request.url.path]
    return FileResponse(STATIC / name, media_type=media_type, headers=_HEADERS)


for _address in PAGE_FILES:
    router.add_api_route(_address, page_file, methods=["GET"], response_model=None)
