"""The Functions app: triggers only. What they do is in `routing`."""

from pathlib import Path

import azure.functions as func
from azure.functions.warmup import WarmUpContext
from azurefunctions.extensions.http.fastapi import Request, Response

from routing.engine.probe import probe as probe_deployments
from routing.web import pages
from routing.web.chat import ChatResponse
from routing.web.pages import Page
from routing.web.wire import OTHER_BYTES
from routing.wiring import assemble

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)  # SDKs cannot send a Functions key: we ask for ours
edge = assemble(Path(__file__).parent)


@app.route("v1/chat/completions", methods=["POST"])
async def chat(req: Request) -> Response:
    """OpenAI chat completions."""
    return ChatResponse(edge, req)


@app.route("openai/v1/chat/completions", methods=["POST"])
async def chat_azure_v1(req: Request) -> Response:
    """The same, where an OpenAI client with Azure's v1 base URL looks for it."""
    return ChatResponse(edge, req)


@app.route("openai/deployments/{model}/chat/completions", methods=["POST"])
async def chat_azure(req: Request) -> Response:
    """The same, where an AzureOpenAI client looks for it."""
    return ChatResponse(edge, req)


@app.route("v1/route", methods=["POST"])
async def route(req: Request) -> Response:
    """Where a request would go, and why. Calls no provider."""
    return Page(edge, req, pages.route)


@app.route("v1/models", methods=["GET"])
async def models(req: Request) -> Response:
    """Models and aliases with their live latency."""
    return Page(edge, req, pages.models)


@app.route("v1/models/{id}", methods=["GET"])
async def model(req: Request) -> Response:
    """One model or alias."""
    return Page(edge, req, pages.model)


@app.route("openai/models", methods=["GET"])
async def models_azure(req: Request) -> Response:
    """Where an AzureOpenAI client looks for the models."""
    return Page(edge, req, pages.models)


@app.route("openai/v1/models", methods=["GET"])
async def models_azure_v1(req: Request) -> Response:
    """Where an OpenAI client with Azure's v1 base URL looks for the models."""
    return Page(edge, req, pages.models)


@app.route("v1/profiles", methods=["GET"])
async def profiles(req: Request) -> Response:
    """Latency profiles by deployment."""
    return Page(edge, req, pages.latency_profiles)


@app.route("v1/measurements", methods=["POST"])
async def measurements(req: Request) -> Response:
    """A frontend's own waiting: the last mile."""
    return Page(edge, req, pages.measurements, OTHER_BYTES)


@app.route("metrics", methods=["GET"])
async def metrics(req: Request) -> Response:
    """Metrics, in Prometheus' text format."""
    return Page(edge, req, pages.metrics)


@app.route("healthz", methods=["GET", "HEAD"])
async def healthz(req: Request) -> Response:
    """Alive."""
    return pages.healthz(req)


@app.route("readyz", methods=["GET"])
async def readyz(req: Request) -> Response:
    """Ready to route, and what should be mended."""
    return pages.readyz(edge, req)


@app.timer_trigger(schedule="*/5 * * * * *", arg_name="timer", run_on_startup=False)
async def refresh_profiles(timer: func.TimerRequest) -> None:
    """Share what was learned, merge it, take back what everybody learned."""
    await edge.refresh()


@app.timer_trigger(schedule="30 * * * * *", arg_name="timer", run_on_startup=False)
async def probe(timer: func.TimerRequest) -> None:
    """Measure what traffic has not."""
    await probe_deployments(edge.sync)


@app.timer_trigger(schedule="0 17 * * * *", arg_name="timer", run_on_startup=False)
async def purge(timer: func.TimerRequest) -> None:
    """Drop what is past its retention."""
    await edge.purge()


@app.warm_up_trigger(arg_name="warmup")
async def warm_up(warmup: WarmUpContext) -> None:
    """Load SDKs and credentials before the first request comes."""
    await edge.warm()
