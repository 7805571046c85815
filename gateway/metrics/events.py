"""``Metrics``: what happened, as calls that cost about a microsecond. One object per process.

It satisfies ``gateway.director.measures.Measures`` and is also told by the hosts, the scraper and
the reloaders. Everything that varies with the client is capped before it becomes a label.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TypeAlias

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from gateway.errors import STATUS
from gateway.metrics.families import GatewayFamilies
from loadstar.telemetry.metrics import MAX_SERIES, CappedLabel, Collector, Counter, Histogram

SHARE_MEMORY = 1000
"""Responses that the sample share is an average of."""

Traffic: TypeAlias = tuple[str, str, str, int]
"""(model, target model, fairness id, priority)."""

_CANONICAL = {
    400: "BadRequest",
    413: "PayloadTooLarge",
    429: "ResourceExhausted",
    500: "Internal",
    503: "ServiceUnavailable",
}
ERROR_CODES = MappingProxyType(
    {refusal.code: _CANONICAL[status] for refusal, status in STATUS.items()}
)
"""Our word for a refusal -> the reference's, which old dashboards count by."""


class RequestSeries:
    """Every series that one ``Traffic`` moves, bound once."""

    __slots__ = (
        "cached_tokens",
        "duration",
        "input_tokens",
        "labels",
        "ntpot",
        "output_tokens",
        "request_bytes",
        "response_bytes",
        "running",
        "total",
        "tpot",
        "ttft",
        "ttft_streamed",
    )

    def __init__(self, f: GatewayFamilies, labels: tuple[str, str, str, str]) -> None:
        self.labels = labels
        self.total = f.total.labels(*labels)
        self.running = f.running.labels(*labels)
        self.duration = f.duration.labels(*labels)
        self.request_bytes = f.request_bytes.labels(*labels)
        self.response_bytes = f.response_bytes.labels(*labels)
        self.ttft = f.ttft.labels(*labels, "false")
        self.ttft_streamed = f.ttft.labels(*labels, "true")
        self.tpot = f.tpot.labels(*labels)
        self.ntpot = f.ntpot.labels(*labels)
        self.input_tokens = f.input_tokens.labels(*labels)
        self.output_tokens = f.output_tokens.labels(*labels)
        self.cached_tokens = f.cached_tokens.labels(*labels)


class Metrics:
    """The gateway's metrics and the registry that shows them."""

    def __init__(self) -> None:
        self._families = f = GatewayFamilies()
        self._model = CappedLabel()
        self._fairness = CappedLabel()
        self._bound: dict[Traffic, RequestSeries] = {}
        self._attempts: dict[tuple[str, str, str, int], Counter] = {}
        self._prefixes: dict[tuple[str, str], tuple[Histogram, Histogram]] = {}
        self._scheduling = f.scheduling.labels()
        self._streams = f.streams.labels()
        self._stream_seconds = f.stream_seconds.labels()
        self._scrapes = f.scrapes.labels()
        self._live = f.live.labels()
        self._avoided = f.avoided.labels()
        self._followed = f.responses.labels("true")
        self._let_go = f.responses.labels("false")
        self._share = f.share.labels()
        self._shared_by = 0
        self.registry = CollectorRegistry(auto_describe=False)
        self.beside = CollectorRegistry(auto_describe=False)
        """What is not counted here, but read when somebody asks: the process, the pool."""
        self.registry.register(f)
        self.registry.register(self.beside)
        PlatformCollector(registry=self.beside)
        ProcessCollector(registry=self.beside)
        GCCollector(registry=self.beside)

    @property
    def families(self) -> GatewayFamilies:
        """Every metric as it is counted, for who tells it in another form."""
        return self._families

    def names(self) -> list[str]:
        """Every metric declared, old names included (counters without their ``_total``)."""
        return self._families.names()

    def add(self, collector: Collector) -> None:
        """Show ``collector``'s metrics too: those read at scrape time."""
        self.beside.register(collector)

    # --- requests: gateway.director.measures.Measures ---------------------------------------------

    def routed(self, traffic: Traffic, request_bytes: int) -> None:
        """A request got an endpoint; ``finished`` follows exactly once."""
        series = self._series(traffic)
        series.total.inc()
        series.running.inc()
        series.request_bytes.observe(request_bytes)

    def refused(self, traffic: Traffic, code: str) -> None:
        """A request was refused; ``code`` is the refusal's word (``shed``)."""
        labels = self._labels(traffic)
        self._families.errors.labels(*labels, ERROR_CODES.get(code, "Internal")).inc()
        self._families.refusals.labels(code).inc()

    def rewritten(self, rule: str, model: str, target_model: str) -> None:
        """Rewrite ``rule`` chose ``target_model`` for ``model``."""
        self._model.pin((target_model,))  # the operator's name, not a client's: it never folds
        self._families.rewrites.labels(rule, self._model(model), target_model).inc()

    def scheduled(
        self, seconds: float, target_model: str, pod: str, namespace: str, port: int
    ) -> None:
        """Scheduling chose this endpoint; ``pod`` is "" if nothing fitted."""
        self._scheduling.observe(seconds)
        chosen = (target_model, pod, namespace, port)
        known = self._attempts.get(chosen)
        if known is None:
            labels = ("success", pod, namespace, str(port)) if pod else ("failure", "", "", "")
            outcome, *where = labels
            known = self._families.attempts.labels(outcome, self._model(target_model), *where)
            if len(self._attempts) < MAX_SERIES:
                self._attempts[chosen] = known
        known.inc()

    def first_token(self, traffic: Traffic, seconds: float, streamed: bool) -> None:
        """The first piece of an answer came ``seconds`` after the pick (TTFT)."""
        series = self._series(traffic)
        (series.ttft_streamed if streamed else series.ttft).observe(seconds)

    def finished(
        self,
        traffic: Traffic,
        *,
        ending: str,
        status: int | None,
        seconds: float,
        seconds_per_output_token: float | None,
        input_tokens: int | None,
        output_tokens: int | None,
        cached_tokens: int | None,
        response_bytes: int,
        streamed: bool,
    ) -> None:
        """A routed request ended. What is not known (None) is not recorded, never as zero.

        Duration and size are those of whole responses: a client that left early says nothing
        about how long an answer takes. NTPOT is ``seconds`` / output tokens.
        """
        series = self._series(traffic)
        series.running.dec()
        self._families.endings.labels(ending).inc()
        if status is not None:
            self._sampled(followed=ending != "let-go")
        if status is not None and status >= 400:
            self._families.errors.labels(*series.labels, str(status)).inc()
        if ending == "complete":
            series.duration.observe(seconds)
            series.response_bytes.observe(response_bytes)
        if input_tokens is not None:
            series.input_tokens.observe(input_tokens)
        if cached_tokens is not None:
            series.cached_tokens.observe(cached_tokens)
        if output_tokens:
            series.output_tokens.observe(output_tokens)
            series.ntpot.observe(seconds / output_tokens)
        if streamed and seconds_per_output_token is not None:
            series.tpot.observe(seconds_per_output_token)

    def _sampled(self, *, followed: bool) -> None:
        (self._followed if followed else self._let_go).inc()
        self._shared_by = min(self._shared_by + 1, SHARE_MEMORY)
        self._share.value += (followed - self._share.value) / self._shared_by

    def served_elsewhere(self, known: bool) -> None:
        """Another endpoint than the first pick served: one of the pool, or not."""
        self._families.elsewhere.labels("pool" if known else "unknown").inc()

    def plugin_failed(self, plugin: str, point: str) -> None:
        """``plugin`` raised at ``point``."""
        self._families.plugin_failures.labels(plugin, point).inc()

    def live(self, requests: int) -> None:
        """Requests routed and not yet ended."""
        self._live.set(requests)

    def avoided(self, endpoints: int) -> None:
        """Endpoints that the circuit breaker keeps out of this pick."""
        self._avoided.set(endpoints)

    # --- plugins ----------------------------------------------------------------------------------

    def plugin(self, extension_point: str, plugin_type: str, plugin_name: str) -> Histogram:
        """Where the durations of one plugin go; bind it once, at start."""
        return self._families.plugins.labels(extension_point, plugin_type, plugin_name)

    def prefix_matched(
        self, plugin_name: str, plugin_type: str, matched_bytes: int, total_bytes: int
    ) -> None:
        """A prompt was looked up in a prefix index."""
        known = self._prefixes.get((plugin_name, plugin_type))
        if known is None:
            f, labels = self._families, (plugin_name, plugin_type)
            known = f.prefix_bytes.labels(*labels), f.prefix_ratio.labels(*labels)
            self._prefixes[labels] = known
        matched, ratio = known
        matched.observe(matched_bytes)
        if total_bytes > 0:
            ratio.observe(matched_bytes / total_bytes)

    def prefix_indexed(self, plugin_name: str, plugin_type: str, blocks: int) -> None:
        """How large a prefix index now is."""
        self._families.prefix_size.labels(plugin_name, plugin_type).set(blocks)

    # --- the data layer, the hosts, the process ---------------------------------------------------

    def scraped(self, seconds: float) -> None:
        """A model server's metrics page came, ``seconds`` after it was asked for."""
        self._scrapes.observe(seconds)

    def scrape_failed(self, source_type: str, reason: str) -> None:
        """It did not come."""
        self._families.polls.labels(source_type).inc()
        self._families.scrape_failures.labels(reason).inc()

    def extract_failed(self, source_type: str, extractor_type: str) -> None:
        """A page came without a signal it should have."""
        self._families.extracts.labels(source_type, extractor_type).inc()

    def stream_opened(self) -> None:
        """An ext_proc stream began; ``stream_closed`` follows exactly once."""
        self._streams.inc()

    def stream_closed(self, code: str, seconds: float) -> None:
        """It ended after ``seconds`` with this gRPC status (``OK``, ``Canceled``)."""
        self._streams.dec()
        self._stream_seconds.observe(seconds)
        self._families.stream_codes.labels(code).inc()

    def reloaded(self, file: str, *, ok: bool) -> None:
        """``file`` (``config``, ``certificate``, ``metrics-certificate``) changed, and was taken or
        refused."""
        self._families.reloads.labels(file, "taken" if ok else "refused").inc()
        self._families.reload_refused.labels(file).set(0 if ok else 1)

    def running_build(self, commit: str, build_ref: str) -> None:
        """Which build this is."""
        self._families.info.labels(commit, build_ref).set(1)

    # --- labels -----------------------------------------------------------------------------------

    def _labels(self, traffic: Traffic) -> tuple[str, str, str, str]:
        model, target_model, fairness_id, priority = traffic
        return (
            self._model(model),
            self._model(target_model),
            self._fairness(fairness_id),
            str(priority),
        )

    def _series(self, traffic: Traffic) -> RequestSeries:
        found = self._bound.get(traffic)
        if found is None:
            found = RequestSeries(self._families, self._labels(traffic))
            # Names past the cap are the client's to invent, so they are not remembered.
            if len(self._bound) < MAX_SERIES:
                self._bound[traffic] = found
        return found
