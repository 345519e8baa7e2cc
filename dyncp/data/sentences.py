"""Sentences for the synthetic speakers: grammatical, seeded, of many lengths."""

from __future__ import annotations

from typing import Literal

import numpy as np

Language = Literal["en", "it", "fi"]

_SUBJECTS = (
    "the old captain", "my neighbour", "a young doctor", "the night train", "our teacher",
    "every visitor", "the small orchestra", "a grey pigeon", "the shop on the corner",
    "her elder brother", "the weather report", "an honest lawyer", "the river",
    "most of the children", "the engineer", "two quiet students", "the baker's daughter",
    "that stubborn horse", "somebody upstairs", "the last bus", "a famous painter",
)  # fmt: skip
_VERBS = (
    "was waiting for", "has never seen", "slowly passed", "wrote about", "could not find",
    "remembered", "is looking after", "will visit", "carried away", "forgot", "laughed at",
    "bought", "walked around", "asked for", "described", "promised to bring", "followed",
    "had lost", "recognised", "keeps talking about", "would rather choose",
)  # fmt: skip
_OBJECTS = (
    "seven wooden boxes", "the harbour wall", "a cup of strong tea", "the yellow house",
    "an unusual question", "the long way home", "twenty-three letters", "the voice on the radio",
    "a pair of shoes", "fresh bread and cheese", "the edge of the forest", "his father's watch",
    "the second chapter", "a shadow on the stairs", "cheap plastic chairs", "the village fair",
    "what the judge said", "a bright orange jacket", "the broken window", "some fish",
)  # fmt: skip
_ENDINGS = (
    "before sunrise", "in the middle of winter", "without a word", "at half past eight",
    "because of the storm", "as if nothing had happened", "for the third time this week",
    "while the others slept", "near the station", "although it was late", "just once more",
)  # fmt: skip
_NAMES = (
    "Margaret", "Oliver", "Priya", "Thomas", "Zoe", "Jonathan", "Fatima", "George", "Charlotte",
    "Victor", "Hannah", "Miguel", "Beatrice", "Yusuf", "Ingrid", "Walter", "Chloe", "Patrick",
)  # fmt: skip
_PLACES = (
    "Dublin", "Vancouver", "the old town", "Cape Town", "Bristol", "the lighthouse", "Jakarta",
    "the swimming pool", "Zurich", "platform four", "the fish market", "Philadelphia",
)  # fmt: skip
_QUESTIONS = (
    "when did {name} leave for {place}", "why is {subject} so late", "have you seen {object}",
    "which way is {place}", "how much does {object} cost", "does {name} live near {place}",
    "who told {name} about {object}", "can you hear me", "how far is it to {place}",
)  # fmt: skip
_NUMBERS = (
    "the number is {a}, {b}, {c}", "flight {a} leaves at {hour} {b}", "that is {a} pounds and {b}",
    "turn left after {a} metres", "page {a}, line {b}", "in {year} there were {a} of them",
    "take bus {b} at {hour} o'clock", "{name} lives at {a} Mill Road",
)  # fmt: skip
_SHORT = (
    "yes, please", "not today", "good morning, {name}", "thank you", "over here", "watch out",
    "I think so", "{name}, come back", "what a shame", "of course", "see you in {place}",
    "just a moment",
)  # fmt: skip

_ITALIAN = (
    ("il vecchio capitano", "la mia vicina", "un giovane medico", "il treno della notte",
     "la nostra maestra", "ogni visitatore", "la piccola orchestra", "il fratello di Anna"),
    ("aspetta", "non ha mai visto", "ha dimenticato", "cerca", "ha comprato", "racconta",
     "segue", "vuole portare a casa"),
    ("sette scatole di legno", "una tazza di caffe", "la casa gialla", "le scarpe nuove",
     "il pane fresco", "una lunga lettera", "la finestra rotta", "quaranta pesci"),
    ("prima dell'alba", "senza una parola", "alle otto e mezza", "vicino alla stazione",
     "per la terza volta", "in mezzo all'inverno", "", "con un sorriso"),
)  # fmt: skip
_FINNISH = (
    ("vanha kapteeni", "minun naapurini", "nuori lääkäri", "pieni orkesteri", "opettaja",
     "jokainen vieras", "hänen veljensä", "suuri joki"),
    ("odottaa", "ei löydä", "muistaa", "kuvailee", "hakee", "ostaa", "seuraa", "unohtaa"),
    ("seitsemän laatikkoa", "kupin teetä", "keltaisen talon", "pitkän kirjeen", "uudet kengät",
     "tuoretta leipää", "rikkinäisen ikkunan", "kolme kalaa"),
    ("ennen aamua", "talvella", "sanomatta mitään", "aseman lähellä", "puoli yhdeksältä",
     "vielä kerran", "", "myrskyn takia"),
)  # fmt: skip


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[rng.integers(len(choices))]


def _filled(rng: np.random.Generator, pattern: str) -> str:
    return pattern.format(
        name=_pick(rng, _NAMES), place=_pick(rng, _PLACES),
        subject=_pick(rng, _SUBJECTS), object=_pick(rng, _OBJECTS),
        a=rng.integers(2, 1000), b=rng.integers(10, 60), c=rng.integers(0, 10),
        hour=rng.integers(1, 13), year=rng.integers(1800, 2030),
    )  # fmt: skip


def _statement(rng: np.random.Generator) -> str:
    subject = _pick(rng, _NAMES if rng.random() < 0.2 else _SUBJECTS)
    parts = [subject, _pick(rng, _VERBS), _pick(rng, _OBJECTS)]
    if rng.random() < 0.6:
        parts.append(_pick(rng, _ENDINGS))
    return " ".join(parts)


def _english(rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.45:
        return _statement(rng) + "."
    if kind < 0.60:
        joint = _pick(rng, (", and", ", but", ", so", "; then"))
        return f"{_statement(rng)}{joint} {_statement(rng)}."
    if kind < 0.75:
        return _filled(rng, _pick(rng, _QUESTIONS)) + "?"
    if kind < 0.90:
        return _filled(rng, _pick(rng, _NUMBERS)) + "."
    return _filled(rng, _pick(rng, _SHORT)) + _pick(rng, (".", "!"))


def sentence(rng: np.random.Generator, language: Language = "en") -> str:
    """A grammatical sentence: statement, compound, question, numbers or a short call.

    Free of double quotes and backslashes, so that it can stand in any of the
    synthesisers' scripts; in Latin-1.
    """
    if language == "en":
        text = _english(rng)
    else:
        words = _ITALIAN if language == "it" else _FINNISH
        text = " ".join(filter(None, (_pick(rng, part) for part in words))) + "."
    return text[0].upper() + text[1:]
