"""What an emulated server is, as one value: made by the command line or by a test."""

from __future__ import annotations

from dataclasses import dataclass, field

from load_tests.emulator.engine import STEP_NOISE
from load_tests.emulator.faults import Faults
from load_tests.emulator.profiles import PROFILES, EngineProfile


@dataclass(frozen=True, slots=True)
class Options:
    """What an emulated server is."""

    profile: EngineProfile = PROFILES["H100-8B"]
    models: tuple[str, ...] = ()
    """Names it answers to; none means any name."""
    speed: float = 1.0
    """Engine seconds per real second."""
    token_batch: int = 1
    """Tokens of a stream per write; still one event each."""
    noise: float = STEP_NOISE
    max_loras: int = 0
    """Adapter slots; 0 serves no adapters."""
    adapters: tuple[str, ...] = ()
    """Adapters known from the start."""
    engine: str = "vllm"
    """Whose metrics page it shows: a name in ``PAGES``."""
    max_model_tokens: int = 131_072
    reject_overlong: bool = False
    """Answer 400 to prompts that are too long, as vLLM does; else serve them cut short."""
    echo: bool = False
    """Answer everything at once with what was received."""
    seed: int = 0
    faults: Faults = field(default_factory=Faults)

    @property
    def room(self) -> int:
        """Most tokens of prompt and answer together."""
        return min(self.max_model_tokens, self.profile.kv_tokens)
