"""An app that shows what the host does. What happens next in it is always asked for by a request, never by a clock."""

import asyncio
import logging
import os
import signal
from collections import defaultdict
from collections.abc import AsyncIterator

import azure.functions as func
from azure.functions.timer import TimerRequest
from azure.functions.warmup import WarmUpContext
from azurefunctions.extensions.http.fastapi import JSONResponse, Request, Response, StreamingResponse

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

asked: defaultdict[str, asyncio.Queue[str]] = defaultdict(asyncio.Queue)
received: defaultdict[str, asyncio.Queue[bytes]] = defaultdict(asyncio.Queue)
began: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
gone: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
fired: list[tuple[str, dict[str, object]]] = []
firing = asyncio.Condition()
warm = asyncio.Event()


async def pieces(name: str) -> AsyncIterator[str]:
    """Whatever is put on the queue, until an empty text."""
    try:
        yield "first"
        while text := await asked[name].get():
            yield text
        if name == "breaking":
            raise RuntimeError("in the middle")
    finally:
        gone[name].set()


@app.route("stream/{name}", methods=["GET"])
async def stream(req: Request) -> StreamingResponse:
    return StreamingResponse(pieces(req.path_params["name"]), media_type="text/event-stream")


@app.route("next/{name}/{*text}", methods=["POST"])
async def send_next(req: Request) -> Response:
    await asked[req.path_params["name"]].put(req.path_params.get("text", ""))
    return Response(status_code=204)


@app.route("hang/{name}", methods=["GET"])
async def hang(req: Request) -> Response:
    """Returns when its client has left."""
    name = req.path_params["name"]
    began[name].set()
    while (await req.receive())["type"] != "http.disconnect":
        pass
    gone[name].set()
    return Response(status_code=499)


@app.route("began/{name}", methods=["GET"])
async def wait_until_begun(req: Request) -> Response:
    await began[req.path_params["name"]].wait()
    return Response("began")


@app.route("gone/{name}", methods=["GET"])
async def wait_until_gone(req: Request) -> Response:
    await gone[req.path_params["name"]].wait()
    return Response("gone")


@app.route("upload/{name}", methods=["POST"])
async def upload(req: Request) -> Response:
    async for chunk in req.stream():
        await received[req.path_params["name"]].put(chunk)
    return Response(status_code=204)


@app.route("received/{name}", methods=["GET"])
async def wait_for_chunk(req: Request) -> Response:
    return Response(await received[req.path_params["name"]].get())


@app.route("size", methods=["POST"])
async def size(req: Request) -> JSONResponse:
    return JSONResponse(sum([len(chunk) async for chunk in req.stream()]))


@app.route("seen/{id?}", methods=["GET", "HEAD", "OPTIONS"])
async def seen(req: Request, context: func.Context) -> JSONResponse:
    """What reached the function."""
    headers = [(name.decode(), value.decode("latin-1")) for name, value in req.headers.raw]
    content = {
        "method": req.method,
        "path": req.scope["raw_path"].decode(),
        "query": req.url.query,
        "params": dict(req.path_params),
        "headers": headers,
        "invocation_id": context.invocation_id,
        "setting": os.environ.get("ECHO_SETTING"),
        "folder": os.getcwd(),
        "router": {name: value for name, value in os.environ.items() if name.startswith("ROUTER_")},
        "process": os.getpid(),
        "at_sigterm": repr(signal.getsignal(signal.SIGTERM)),
    }
    return JSONResponse(content, headers={"X-Answer": "yes", "Keep-Alive": "timeout=5"})


@app.route("seen/special", methods=["GET"])
async def special(req: Request) -> Response:
    return Response("special")


@app.route("cookies", methods=["GET"])
async def cookies(req: Request) -> Response:
    response = Response(status_code=418, media_type="text/plain")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


@app.route("fails", methods=["GET"])
async def fails(req: Request) -> Response:
    raise RuntimeError("no answer")


async def record(name: str, timer: TimerRequest) -> None:
    status = {"schedule": timer.schedule, "status": timer.schedule_status, "past_due": timer.past_due}
    async with firing:
        fired.append((name, status))
        firing.notify_all()


@app.timer_trigger("timer", "* * * * * *", run_on_startup=True)
async def every_second(timer: TimerRequest) -> None:
    logging.getLogger("echo").info("tick")
    await record("every_second", timer)


@app.timer_trigger("timer", "%YEARLY%", run_on_startup=True)
async def yearly(timer: TimerRequest) -> None:
    await record("yearly", timer)


@app.timer_trigger("timer", "* * * * * *")
async def failing(timer: TimerRequest) -> None:
    await record("failing", timer)
    raise RuntimeError("this timer always fails")


@app.timer_trigger("timer", "* * * * * *", run_on_startup=True)
async def disabled(timer: TimerRequest) -> None:
    await record("disabled", timer)


@app.route("fired/{name}/{count}", methods=["GET"])
async def wait_until_fired(req: Request) -> JSONResponse:
    """Answers once the timer has fired so many times."""
    name, count = req.path_params["name"], int(req.path_params["count"])

    def mine() -> list[dict[str, object]]:
        return [status for fired_name, status in fired if fired_name == name]

    async with firing:
        await firing.wait_for(lambda: len(mine()) >= count)
    return JSONResponse(mine())


@app.warm_up_trigger("warmup")
async def warm_up(warmup: WarmUpContext) -> None:
    warm.set()


@app.route("warm", methods=["GET"])
async def wait_until_warm(req: Request) -> Response:
    await warm.wait()
    return Response("warm")
