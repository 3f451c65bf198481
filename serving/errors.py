"""Errors of the model plane that a person can mend.

```
ServingError
├── InvalidDocument   a YAML file of the catalog or of the hardware is wrong
├── UnknownModel      no model has this id or alias
├── UnknownBuild      the model has no build of this name
├── UnknownMachine    no machine shape has this id
├── UnknownProfile    this model has no such profile on this machine
├── UnknownArgument   vLLM has no such argument, or it can't be set here
├── InvalidAdapter    a folder holds no LoRA adapter that can be served
├── DoesNotFit        the model, the machine and the arguments contradict each other
└── WeightsError      weights can't be had, or are not what they should be
```

Every message says what is wrong and what to do about it.
"""

import difflib
from collections.abc import Iterable


class ServingError(Exception):
    """Base of the errors whose message is meant for the person at the keyboard."""


class InvalidDocument(ServingError):
    """A YAML file is not what its loader needs; the message names file, field and mend."""


class UnknownModel(ServingError):
    """No model of the catalog has this id or alias."""


class UnknownBuild(ServingError):
    """The model has no build of this name."""


class UnknownMachine(ServingError):
    """No machine shape has this id."""


class UnknownProfile(ServingError):
    """The model has no profile of this name on this machine."""


class UnknownArgument(ServingError):
    """An override names an argument that vLLM does not have or that is set elsewhere."""


class InvalidAdapter(ServingError):
    """A name or a folder is no LoRA adapter's; the message says what it lacks."""


class DoesNotFit(ServingError):
    """The model can't run on this machine with these arguments; the message says why."""


class WeightsError(ServingError):
    """Weights can't be had, or are not what they should be; the message names the file."""


def nearest(name: str, known: Iterable[str], *, limit: int = 3) -> str:
    """A sentence part that offers the known names most like `name`.

    With nothing alike it lists all names, or the first twelve of a long list.
    """
    names = sorted(set(known))
    folded = {each.lower(): each for each in names}
    close = difflib.get_close_matches(name.lower(), list(folded), n=limit, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(folded[each] for each in close) + "?"
    if len(names) > 12:
        return "known are " + ", ".join(names[:12]) + ", …"
    return "known are " + ", ".join(names)
