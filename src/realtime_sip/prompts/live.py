"""What GPT-Live is told about taking turns and about the model behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from realtime_sip.prompts.family import ModelFamily
from realtime_sip.prompts.section import BaseSection, Line, Wording

__all__ = ["LivePolicies"]


@dataclass(frozen=True, repr=False)
class LivePolicies(BaseSection):
    """The three policies of GPT-Live. OpenAI's guide asks to keep their labels, so that these are always English.

    Other models get nothing of it: they do not backchannel, and call their tools themselves.

    Args:
        backchannel: When to say "mm-hm" while the caller speaks.
        interruption: When to stop, and when to speak on.
        delegation: What to hand to the model behind it, and what to say meanwhile.
    """

    titles = ("Conversation Policies", "Políticas da conversa")
    live = True
    backchannel: str | None = None
    interruption: str | None = None
    delegation: str | None = None

    def lines(self, say: Wording) -> Iterator[Line]:
        """Yield the lines."""
        if say.family is not ModelFamily.LIVE:
            return
        backchannel = self.backchannel or say(
            "Only in long turns of the caller, rarely, and in one short sound.",
            "Só em falas longas da pessoa, raramente, e com um som curto.",
        )
        interruption = self.interruption or say(
            "Stop at once when the caller speaks to you. Speak on through noise and through talk that is not for you.",
            "Pare assim que a pessoa falar com você. Continue se for ruído ou conversa que não é com você.",
        )
        delegation = self.delegation or say(
            "Hand over whatever needs data, tools or several steps. Say in one short sentence what is being done, and "
            "state no result before it has come back.",
            "Repasse tudo o que exigir dados, ferramentas ou várias etapas. Diga em uma frase curta o que está sendo "
            "feito e não afirme nenhum resultado antes de recebê-lo.",
        )
        yield f"Backchannel policy: {backchannel}"
        yield f"Interruption policy: {interruption}"
        yield f"Delegation policy: {delegation}"
