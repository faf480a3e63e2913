"""Any policy file an administrator has, told apart by content: a TOML policy, a script, a store, or
what the service has kept of one."""

from __future__ import annotations

from pathlib import Path

from ipsecfd.policy import exact
from ipsecfd.policy.mistakes import Mistake, PolicyError
from ipsecfd.policy.model import Policy, Store
from ipsecfd.policy.names import Names, NamesError
from ipsecfd.policy.review import about_policy
from ipsecfd.policy.scripts.encoding import EncodingError, decode, is_hive
from ipsecfd.policy.scripts.failure import Failure
from ipsecfd.policy.scripts.kinds import is_script
from ipsecfd.policy.stores.content import Content
from ipsecfd.policy.stores.dynamic import DynamicDraft
from ipsecfd.policy.stores.reader import is_store
from ipsecfd.policy.text import read_bytes, utf8_text
from ipsecfd.policy.tomlfile import Loaded, parse_policy
from ipsecfd.policy.workspace import Workspace


def load(path: Path, names: Names) -> Loaded:
    """The policy of a file of any kind. Raises PolicyError with every mistake.

    Of a script or a store it is what the driver would enforce after an import into empty stores:
    commands that Windows would have refused are warnings.
    """
    data = read_bytes(path)
    if data.startswith(exact.BEGINNING.encode()):
        return _load_exact(path, data)
    return names.reading(lambda: _parse(path, data, names))


def _parse(path: Path, data: bytes, names: Names) -> Loaded:
    try:
        script = is_script(decode(data))
    except EncodingError:
        script = is_hive(data)
    if script:
        return _load_imported(path, data, names)
    text = utf8_text(data, str(path))
    if is_store(text):
        return _load_imported(path, data, names)
    if not text.strip():
        raise _refused(path, "empty; expected a policy, which begins with its name")
    return parse_policy(text, str(path), names)


def _load_exact(path: Path, data: bytes) -> Loaded:
    try:
        return Loaded(exact.parse(utf8_text(data, str(path))))
    except exact.ExactError as error:
        raise _refused(path, str(error)) from error


def _load_imported(path: Path, data: bytes, names: Names) -> Loaded:
    from ipsecfd.policy.scripts.importing import import_files

    dynamic = DynamicDraft()
    workspace = Workspace(names.resolve, dynamic=dynamic)
    result = import_files([(str(path), data)], workspace, folder=path.parent)
    if result.stopped:
        raise PolicyError(map(_mistake, result.untranslated))
    contents = {store: draft.content() for store, draft in workspace.stores.items()}
    local = contents[Store.DOMAIN if contents[Store.DOMAIN].assigned else Store.LOCAL]
    parts = [
        local.assigned_policy(),
        contents[Store.PERSISTENT].assigned_policy(),
        dynamic.content().policy() if dynamic.rules else None,
    ]
    found = [policy for policy in parts if policy is not None]
    if not found:
        found = [_only_policy(local, path)]
    warnings = [*map(_mistake, result.failed)]
    try:
        names.save()
    except NamesError as error:
        warnings.append(Mistake(str(path), "", "", str(error)))
    rules = tuple(rule for policy in found for rule in policy.rules)
    policy = Policy(found[0].name, rules, found[0].description)
    warnings += (Mistake(str(path), *doubt) for doubt in about_policy(policy))
    return Loaded(policy, tuple(warnings))


def _only_policy(content: Content, path: Path) -> Policy:
    """The one policy of a store that assigns none; raises PolicyError if it is not just one."""
    if not content.policies:
        raise _refused(path, "no policy is left when this script has run")
    if len(content.policies) == 1:
        return content.compiled(next(iter(content.policies.values())))
    known = ", ".join(f'"{policy.name}"' for policy in content.policies.values())
    raise _refused(path, f"assigns none of its policies; expected one to be assigned of {known}")


def _mistake(failure: Failure) -> Mistake:
    place = f"line {failure.line}" if failure.line else ""
    return Mistake(failure.file, place, failure.text, failure.why)


def _refused(path: Path, why: str) -> PolicyError:
    return PolicyError([Mistake(str(path), "", "", why)])
