"""The synthetic speakers, and which split each belongs to.

No human voice is in two splits: what was built from the same person in two
synthesisers (kal and slt are) stays together, and no espeak-ng variant appears
twice. The voices of the test split are thus new to the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from dyncp.data.sentences import Language

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Gender = Literal["f", "m"]
Synthesiser = Literal["espeak-ng", "flite", "festival"]

# espeak-ng computes its voices from formants; flite and festival build theirs from
# recordings of people. There are few of those and they are nearer to what a device
# hears, so they get this share of the talking instead of one voice among fifty's.
_RECORDED_SHARE = 1 / 3


@dataclass(frozen=True)
class Speaker:
    """One synthetic voice.

    ``human`` is who it was made from: equal where two synthesisers speak with the
    same person's voice. ``accent`` is a language tag in espeak-ng's spelling.
    ``pitch`` (0..99) and ``rate`` (words a minute) are settings of espeak-ng; the
    others speak as their voice was built. ``package`` is the Debian package.
    """

    synthesiser: Synthesiser
    voice: str
    human: str
    gender: Gender
    accent: str
    package: str
    pitch: int = 50
    rate: int = 175

    @property
    def name(self) -> str:
        return f"{self.synthesiser}/{self.voice}"

    @property
    def recorded(self) -> bool:
        """The voice was built from recordings of a person."""
        return self.synthesiser != "espeak-ng"

    @property
    def language(self) -> Language:
        """The language of its sentences."""
        return "it" if self.accent == "it" else "fi" if self.accent == "fi" else "en"


_ACCENTS = ("en-gb", "en-us", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-rp",
            "en-gb-x-gbcwmd", "en-029")  # fmt: skip
_VARIANTS: dict[Split, tuple[str, ...]] = {
    "train": (
        "m1", "m2", "m4", "m5", "m7", "f1", "f2", "f4", "Alex", "Alicia", "Andy", "Denis",
        "Diogo", "Gene", "Hugo", "Jacky", "Lee", "Marco", "Mario", "Michael", "Mike", "Nguyen",
        "adam", "anika", "antonio", "aunty", "belinda", "benjamin", "boris", "caleb", "ed",
        "edward", "grandma", "gustave", "iven", "john", "klatt2", "linda", "marcelo", "michel",
    ),
    "validation": ("m3", "f3", "max", "miguel", "norbert", "paul", "shelby", "klatt4"),
    "test": ("m6", "m8", "f5", "Andrea", "Annie", "pedro", "quincy", "rob", "steph", "victor"),
}  # fmt: skip
# The variants whose median pitch lies above 160 Hz at espeak-ng's default setting;
# those of all others lie below 145 Hz.
_FEMALE = frozenset(
    ("f1", "f2", "f3", "f4", "f5", "Alicia", "Andrea", "Annie", "anika", "aunty", "belinda",
     "grandma", "linda", "shelby", "steph")
)  # fmt: skip

_RECORDED: dict[Split, tuple[Speaker, ...]] = {
    "train": (
        Speaker("flite", "rms", "rms", "m", "en-us", "flite"),
        Speaker("flite", "kal16", "kal", "m", "en-us", "flite"),
        Speaker("festival", "kal_diphone", "kal", "m", "en-us", "festvox-kallpc16k"),
        Speaker("festival", "pc_diphone", "pc", "m", "it", "festvox-itapc16k"),
        Speaker("festival", "lp_diphone", "lp", "f", "it", "festvox-italp16k"),
        Speaker("festival", "hy_fi_mv_diphone", "mv", "m", "fi", "festvox-suopuhe-mv"),
        Speaker("festival", "suo_fi_lj_diphone", "lj", "f", "fi", "festvox-suopuhe-lj"),
    ),
    "validation": (
        Speaker("festival", "ked_diphone", "ked", "m", "en-us", "festvox-kdlpc16k"),
    ),
    "test": (
        Speaker("flite", "awb", "awb", "m", "en-gb-scotland", "flite"),
        Speaker("flite", "slt", "slt", "f", "en-us", "flite"),
        Speaker(
            "festival", "cmu_us_slt_arctic_hts", "slt", "f", "en-us", "festvox-us-slt-hts"
        ),
    ),
}  # fmt: skip


@cache
def speakers(split: Split) -> tuple[Speaker, ...]:
    """The speakers of a split, the recorded ones first."""
    computed = []
    for index, variant in enumerate(_VARIANTS[split]):
        rng = np.random.default_rng([SPLITS.index(split), index])
        computed.append(
            Speaker(
                synthesiser="espeak-ng",
                voice=variant,
                human=variant,
                gender="f" if variant in _FEMALE else "m",
                accent=_ACCENTS[index % len(_ACCENTS)],
                package="espeak-ng",
                pitch=int(rng.integers(25, 75)),
                rate=int(rng.integers(130, 200)),
            )
        )
    return (*_RECORDED[split], *computed)


@cache
def _by_kind(split: Split) -> dict[bool, dict[Gender, list[int]]]:
    kinds: dict[bool, dict[Gender, list[int]]] = {True: {}, False: {}}
    for index, speaker in enumerate(speakers(split)):
        kinds[speaker.recorded].setdefault(speaker.gender, []).append(index)
    return kinds


def draw_speaker(rng: np.random.Generator, split: Split) -> int:
    """Draw an index into :func:`speakers`: how it was made, then the gender, then who.

    Women are fewer among the voices; drawn this way they talk as much as men.
    """
    genders = _by_kind(split)[bool(rng.random() < _RECORDED_SHARE)]
    names = sorted(genders)
    indices = genders[names[rng.integers(len(names))]]
    return indices[rng.integers(len(indices))]
