"""The verb `completion`: what a shell completes after `ganvas`, written out as a script that needs no Python."""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Mapping, Sequence
from typing import Literal

from tyro.conf import Positional

from ganvas.cli import DONE, VERBS
from ganvas.cli.arguments import options_of

PARTS = {"label": ("remap", "split", "import", "legend"), "completion": ("bash", "zsh", "fish")}
"""Words that stand behind a verb and are no files."""

BASH = r"""
_ganvas() {
    local word=${COMP_WORDS[COMP_CWORD]} last=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]} words=
    COMPREPLY=()
    if (( COMP_CWORD == 1 )); then words="@VERBS@"; else
        case "$verb" in
@CASES@
        esac
        case "$last" in
            --model|-m|--then|--init|--teacher) words="@MODELS@" ;;
            --preset) words="@PRESETS@" ;;
            --device) words="auto cpu cuda" ;;
            *) [[ $verb == train && $word != -* ]] && (( COMP_CWORD == 2 )) && words="@RECIPES@"
               [[ $verb == generate && $word != -* ]] && (( COMP_CWORD == 2 )) && words="@MODELS@" ;;
        esac
    fi
    COMPREPLY=( $(compgen -W "$words" -- "$word") )
    [[ $word != -* ]] && (( COMP_CWORD > 1 )) && COMPREPLY+=( $(compgen -f -- "$word") )
}
complete -o filenames -F _ganvas ganvas
"""


def completion(shell: Positional[Literal["bash", "zsh", "fish"]]) -> int:
    """Print a script that completes verbs, options, recipes, presets and names of models.

    For bash and zsh: `source <(ganvas completion bash)` in ~/.bashrc or ~/.zshrc, with its own shell's name. For fish:
    `ganvas completion fish > ~/.config/fish/completions/ganvas.fish`.

    Args:
        shell: bash, zsh or fish.
    """
    options = {verb: _options(verb) for verb in VERBS}
    if shell == "fish":
        print(_fish(options))
        return DONE
    script = _bash(options)
    print(f"autoload -U +X bashcompinit && bashcompinit\n{script}" if shell == "zsh" else script)
    return DONE


def _options(verb: str) -> list[str]:
    """Return the names of a verb's options; of one that asks a model or recipe for them, those of all."""
    from ganvas.inference.kinds import KINDS
    from ganvas.recipes import base

    module = importlib.import_module(f"ganvas.cli.{VERBS[verb][0]}")
    if verb == "generate":
        from ganvas.cli.generate import EXTENDED
        from ganvas.inference.open import suite_of

        rooms = {
            takes: importlib.import_module(f"ganvas.cli.{EXTENDED[takes]}") if takes in EXTENDED else suite_of(takes)
            for takes in KINDS
            if takes != "picture"
        }
        return [*_named([(room.Options, f"generate {takes}", None) for takes, room in rooms.items()]), "--then"]
    if verb == "train":
        settings = [base.find(name).Settings for name in base.RECIPES]
        kinds = [(kind, f"train {name}", kind()) for name, kind in zip(base.RECIPES, settings)]
        return _named([(module.Starting, "train", None), *kinds])
    if verb == "label":
        return _named([(getattr(module, name), f"label {name}", None) for name in ("segment", "remap", "import_")])
    return _named([(getattr(module, verb), verb, None)])


def _named(kinds: Sequence[tuple[type, str, object]]) -> list[str]:
    found = {name for kind, scope, default in kinds for one in options_of(kind, scope, default) for name in one.names}
    return [*sorted(name for name in found if name.startswith("--")), "--help"]


def _words() -> dict[str, str]:
    from ganvas.inference.open import known_models
    from ganvas.recipes import base

    presets = sorted({preset for name in base.RECIPES for preset in base.find(name).PRESETS})
    models = ["default", *(model.name for model in known_models() if model.path)]
    lists = {"VERBS": ["help", *VERBS], "MODELS": models, "PRESETS": presets, "RECIPES": list(base.RECIPES)}
    return {name: " ".join(map(shlex.quote, words)) for name, words in lists.items()}


def _bash(options: Mapping[str, Sequence[str]]) -> str:
    cases = []
    for verb, names in options.items():
        cases.append(f'            {verb}) words="{" ".join([*PARTS.get(verb, ()), *names])}" ;;')
    cases.append('            help) words="@VERBS@" ;;')
    script = BASH.replace("@CASES@", "\n".join(cases))
    for name, words in _words().items():
        script = script.replace(f"@{name}@", words)
    return script.strip()


def _fish(options: Mapping[str, Sequence[str]]) -> str:
    words = _words()
    lines = [f"complete -c ganvas -n __fish_use_subcommand -f -a '{words['VERBS']}'"]
    for verb, names in options.items():
        seen = f"-n '__fish_seen_subcommand_from {verb}'"
        lines += [f"complete -c ganvas {seen} -l {name.removeprefix('--')}" for name in names]
        if verb in PARTS:
            lines.append(f"complete -c ganvas {seen} -a '{' '.join(PARTS[verb])}'")
    lines += [
        f"complete -c ganvas -n '__fish_seen_subcommand_from train' -a '{words['RECIPES']}'",
        f"complete -c ganvas -n '__fish_seen_subcommand_from train' -l preset -x -a '{words['PRESETS']}'",
        f"complete -c ganvas -n '__fish_seen_subcommand_from generate' -a '{words['MODELS']}'",
        f"complete -c ganvas -n '__fish_seen_subcommand_from upscale' -l model -x -a '{words['MODELS']}'",
    ]
    return "\n".join(lines)
