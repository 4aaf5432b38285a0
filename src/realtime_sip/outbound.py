"""Who answered a call that was placed, as far as the first words tell.

    async with client.calls.answer(incoming, SESSION) as call:
        answered = await call.who_answered(within=10)
        if answered.who is Answered.VOICEMAIL:
            ...

It is decided by phrases, in English and Portuguese, without a model: at once, for nothing, and the same each time.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from realtime_sip.outcomes import Answered, CallAnswered

__all__ = ["Answered", "CallAnswered", "who_answered"]

MAX_HEARD = 4000
"""Characters that are looked at. A greeting that has not shown what it is by then does not later."""
_MOST_WORDS_OF_A_PERSON = 16

# Of texts in small letters, without accents and punctuation, one space between words.
_SCREENING = re.compile(
    # iOS ("record your name and reason for calling"), Google, carriers
    r"\b(?:record|say|state|give|tell me|provide) your name(?: and| before|\b.{0,40}\b(?:available|calling))"
    r"|\bname and (?:the )?(?:reason|purpose)\b|\b(?:reason|purpose) (?:for|of) (?:your|the|this) call"
    r"|\b(?:automated|virtual|digital|ai) assistant\b.{0,80}\b(?:your name|who|calling)\b"
    r"|\bscreening (?:service|this call|calls?)\b|\bcall (?:screening|assist)\b"
    r"|\bsee if (?:this person|they|he|she) (?:is|are|s) available\b"
    # Portuguese, of both sides of the ocean
    r"|\b(?:diga|grave|informe|indique|fale) (?:o )?(?:seu )?nome\b|\bnome e (?:o )?(?:motivo|assunto)\b"
    r"|\b(?:motivo|assunto) d[ae] (?:sua )?(?:ligacao|chamada)\b|\b(?:filtr\w+|triagem) de (?:chamadas|ligacoes)\b"
    r"|\bver (?:se|ou) (?:esta pessoa|a pessoa|ele|ela) (?:esta|pode)\b"
)
_NO_MESSAGE = re.compile(
    r"\b(?:mailbox|mail box|voicemail|inbox)\b.{0,60}\b(?:full|not (?:been |yet been )?set up|hasn t been set up)\b"
    r"|\bnot (?:been )?in service\b|\bno longer in service\b|\bcannot be completed as dialed\b"
    r"|\bnumber\b.{0,40}\bdisconnected\b"
    r"|\bnot accepting calls\b|\bcannot accept (?:any )?(?:new )?messages\b"
    r"|\b(?:caixa|correio)\b.{0,60}\b(?:chei[ao]|lotad[ao]|nao (?:foi|esta) (?:configurad|ativad)\w+)\b"
    r"|\bnumero\b.{0,40}\b(?:nao existe|inexistente|nao esta atribuido|fora de servico|nao recebe)\b"
    r"|\bprogramado para nao receber\b|\bfora (?:da )?area de (?:cobertura|servico)\b|\btelefone (?:esta )?desligado\b"
)
_TONE = re.compile(
    r"\b(?:after|at|following|wait for) the (?:tone|beep)\b|\brecord (?:your|a) message\b|\bfinished recording\b"
    r"|\bvoice ?mail\b|\bvoice ?mailbox\b|\bmailbox\b|\banswering machine\b|\bautomatic voice message\b"
    r"|\b(?:apos|depois d?o|ao ouvir o) (?:o )?(?:sinal|bip|bipe|tom|toque)\b"
    r"|\bcaixa (?:postal|de mensagens|de correio)\b"
    r"|\bcorreio de voz\b|\bsecretaria eletronica\b|\batendedor de chamadas\b"
    r"|\bgrave (?:o seu|seu|sua|a sua|um|uma) (?:recado|mensagem)\b"
)
_MENU = re.compile(
    r"\bpress(?:ing)? (?:the )?(?:\d|zero|one|two|three|four|five|six|seven|eight|nine|star|pound|hash|any key)\b"
    r"|\bdial (?:\d|zero|one|two|nine|the extension)\b|\bmenu (?:options|has|have)\b|\bfollowing (?:options|menu)\b"
    r"|\bfor (?:english|spanish|portuguese)\b|\benter your\b.{0,40}\b(?:number|pin|extension)\b"
    r"|\bsay or press\b|\bin a few words\b|\bparty s extension\b"
    r"|\b(?:digite|tecle|pressione|aperte|prima|marque|disque) (?:o |a )?(?:\d|zero|um|uma|dois|tres|quatro|cinco|seis"
    r"|sete|oito|nove|asterisco|jogo da velha|cardinal|estrela|tecla|numero|seu|ramal)\b"
    r"|\b(?:uma das|as) (?:seguintes )?opcoes\b|\bnosso menu\b|\bem poucas palavras\b"
)
_AWAY = re.compile(
    r"\bleave (?:me |us |him |her |them )?(?:a |your )(?:\w+ )?(?:message|name|number)\b|\bleave (?:your )?name\b"
    r"|\b(?:can t|cannot|can not|unable to|not able to) (?:\w+ ){0,2}(?:take|answer|get to|come to) (?:your |the |my )?"
    r"(?:call|phone)\b|\b(?:not|isn t|un) ?available (?:right now|at the moment|to take)\b"
    r"|\bperson (?:you are|you re) (?:calling|trying to reach)\b|\bget back to you\b|\breturn your call\b"
    r"|\bcall you back as soon\b|\bcall has been forwarded\b|\baway from (?:my|the) (?:phone|desk)\b"
    r"|\bdeix(?:e|ar|a) (?:o |a |um |uma )?(?:seu |sua |teu |tua )?(?:recado|mensagem|nome|contato|contacto)\b"
    r"|\bnao (?:posso|podemos|consigo|pude) (?:te )?(?:atender|falar)\b|\bnao (?:esta|estou|estamos) disponive\w+\b"
    r"|\b(?:retorno|retornarei|retornaremos|retorn\w+ (?:a )?(?:sua )?(?:ligacao|chamada))\b"
    r"|\b(?:ligacao|chamada) (?:esta sendo|foi|sera) (?:encaminhada|reencaminhada|transferida)\b"
)
_REACHED = re.compile(r"\byou (?:ve|have) reached\b|\b(?:voce )?ligou para\b")
_OFFERS = re.compile(
    r"\bcan i (?:help|take a message|call you)\b|\bhow (?:can|may) (?:i|we) help\b|\bmay i (?:help|ask who)\b"
    r"|\bi m driving\b|\bem que posso\b|\bestou dirigindo\b"
    r"|\b(?:quer|gostaria de) deixar\b|\bposso (?:te |lhe )?(?:ligar|ajudar|retornar)\b"
)
_PERSON = re.compile(
    r"^(?:h[ae]llo|hi|hey|yes|yeah|yep|good (?:morning|afternoon|evening)|allo|speaking|go ahead)\b"
    r"|\b(?:speaking|hello)$|^(?:hello )?(?:this is|it s) \w+|\bwho (?:is|s) (?:this|that|calling|speaking)\b"
    r"|\b(?:can|may) i (?:help|ask who)\b|\bcan you hear me\b|\bwhat s up\b"
    r"|^(?:alo|oi|ola|sim|pronto|fala|diga|pois nao|estou|ta la|tou|bom dia|boa tarde|boa noite|quem)\b"
    r"|\bquem (?:fala|e|esta falando|deseja|gostaria)\b|\bcom quem (?:eu )?(?:falo|deseja|quer)\b"
    r"|\b(?:posso|em que posso|como posso) (?:te |lhe |o )?ajud\w+\b|\b(?:da parte de quem|e ele|e ela)\b"
)


def who_answered(heard: Iterable[str]) -> Answered:
    """Return who answered a call, by what they said first. No I/O, no model.

    A machine is known by what its greeting asks for. Whoever says little, and that as a person who picks up does, is
    taken for one: so is a greeting that pauses after "Hello". What is neither is `UNKNOWN`: another language, an
    opening hour read out, an announcement. A recording and an agent that talk as people do are not told apart from
    people.

    Args:
        heard: What the other side said, in order: transcripts, as of the caller's lines of `call.transcript`.

    >>> who_answered(["Hi, you've reached Ana.", "Please leave a message after the tone."])
    <Answered.VOICEMAIL: 'voicemail'>
    >>> who_answered(["Alô?"]), who_answered(["Para vendas, digite 1."]), who_answered([])
    (<Answered.HUMAN: 'human'>, <Answered.IVR: 'ivr'>, <Answered.UNKNOWN: 'unknown'>)
    """
    text = _plain(" ".join(heard)[:MAX_HEARD])
    if _SCREENING.search(text):
        return Answered.SCREENING
    if _NO_MESSAGE.search(text):
        return Answered.UNKNOWN
    if _TONE.search(text):
        return Answered.VOICEMAIL
    if _MENU.search(text):
        return Answered.IVR
    little = len(text.split()) <= _MOST_WORDS_OF_A_PERSON
    if little and _OFFERS.search(text):
        return Answered.HUMAN  # though they cannot talk now: no recording asks the caller anything
    if _AWAY.search(text):
        return Answered.VOICEMAIL
    # A greeting that says where the call came to is not over.
    return Answered.HUMAN if little and _PERSON.search(text) and not _REACHED.search(text) else Answered.UNKNOWN


def _plain(text: str) -> str:
    letters = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    return " ".join(re.findall(r"\w+", letters.lower()))
