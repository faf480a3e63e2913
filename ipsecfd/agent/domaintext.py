"""What a domain source holds, as a store: a policy file, a store's file or a Windows script."""

from __future__ import annotations

from dataclasses import replace

from ipsecfd.policy.mistakes import Mistake, PolicyError
from ipsecfd.policy.model import Store
from ipsecfd.policy.names import Names
from ipsecfd.policy.scripts.encoding import EncodingError, decode, is_hive
from ipsecfd.policy.scripts.kinds import is_script
from ipsecfd.policy.stores.content import Content
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.policyfile import add_text
from ipsecfd.policy.text import utf8_text
from ipsecfd.policy.workspace import Workspace


def parse(data: bytes, source: str, names: Names) -> Content:
    """The policies in these bytes, and which one is assigned. Raises IpsecfdError.

    A script counts as run to its end; a policy that is alone needs no assignment. The empty text
    is refused: whoever means no policy publishes one without rules.
    """
    read = _script if _is_script(data) else _toml
    content = names.reading(lambda: read(data, source, names))
    if not content.policies:
        raise PolicyError([Mistake(source, "", "", "expected a policy; there is none in it")])
    names.save()
    return content


def _is_script(data: bytes) -> bool:
    try:
        return is_script(decode(data))
    except EncodingError:
        return is_hive(data)


def _toml(data: bytes, source: str, names: Names) -> Content:
    draft = Draft()
    add_text(draft, utf8_text(data, source), source, names, assign=True)
    return draft.content()


def _script(data: bytes, source: str, names: Names) -> Content:
    from ipsecfd.policy.scripts.importing import import_files

    workspace = Workspace(names.resolve)
    result = import_files([(source, data)], workspace)
    if result.stopped:
        raise PolicyError(
            Mistake(one.file, f"line {one.line}" if one.line else "", one.text, one.why)
            for one in result.untranslated
        )
    of_domain = workspace.stores[Store.DOMAIN]
    content = (of_domain if of_domain.policies else workspace.stores[Store.LOCAL]).content()
    if content.assigned is None and len(content.policies) == 1:
        return replace(content, assigned=next(iter(content.policies)))
    return content
