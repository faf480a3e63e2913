"""The commands of `netsh ipsec static`, on the stores (spec 8.2)."""

from __future__ import annotations

from typing import Final

from ipsecfd.policy.model import Store
from ipsecfd.policy.netsh import objects, values
from ipsecfd.policy.netsh import static_tags as tags
from ipsecfd.policy.netsh.config import SET_CONFIG
from ipsecfd.policy.netsh.errors import Code, CommandError
from ipsecfd.policy.netsh.state import State
from ipsecfd.policy.netsh.syntax import Arguments, Command, Run, Tag
from ipsecfd.policy.netsh.tags import AUTHENTICATION, show_request
from ipsecfd.policy.netsh.values import NAME, YES_NO, Kind, choice
from ipsecfd.policy.stores import examples


def _set_store(state: State, arguments: Arguments) -> str:
    state.store = arguments["location"]
    return ""


def _set_batch(state: State, arguments: Arguments) -> str:
    state.batch = arguments["mode"]
    return ""


def _set_interactive(_: State, __: Arguments) -> str:
    return ""  # Windows' commands ask nothing, and neither do these


def _path(arguments: Arguments) -> str:
    path: str = arguments["file"]
    name = path.replace("\\", "/").rpartition("/")[2]
    return path if "." in name.lstrip(".") else f"{path}.ipsec"


def _export(state: State, arguments: Arguments) -> str:
    if state.files is not None:  # an import writes no files; to the stores it makes no difference
        state.files.write(_path(arguments), state.draft.content())
    return ""


def _import(state: State, arguments: Arguments) -> str:
    path = _path(arguments)
    if state.files is None:  # Windows would have read it: what it holds must not be missed unsaid
        raise CommandError(Code.COMMAND, f"importpolicy: {path} is not read by an import")
    state.files.read(path, state.draft)
    return ""


def _restore_examples(state: State, _: Arguments) -> str:
    examples.restore_examples(state.draft, state.now)
    return ""


def _dump(state: State, _: Arguments) -> str:
    from ipsecfd.policy.netsh import dump

    return "" if state.silent else dump.static(state.workspace, state.store)


def _dump_everything(state: State, _: Arguments) -> str:
    from ipsecfd.policy.netsh import dump

    return "" if state.silent else dump.everything(state.workspace)


def _show(kind: str, about: str, *tags: Tag) -> Command:
    def run(state: State, arguments: Arguments) -> str:
        from ipsecfd.policy.netsh import show

        request = show_request(kind, arguments, state.workspace.profile)
        return show.static(request, state.workspace, state.store, silent=state.silent)

    return Command("show", kind, about, run, tags)


def _show_by_rule(kind: str, about: str, objects: str, *more: Tag) -> Command:
    name = tags.which(objects).optional()
    rule = Tag("rule", NAME, "Those that this rule uses", one_of="which")
    return _show(kind, about, name, rule, tags.SHOW_ALL, tags.LEVEL, tags.FORMAT, *more, tags.WIDE)


def _delete(kind: str, objects_of: str, about: str, run: Run) -> Command:
    return Command("delete", kind, about, run, (tags.which(objects_of), tags.ALL))


_FILE: Final = (Tag("file", values.FILE, "The file; .ipsec is added", required=True),)
DUMP: Final = Command("dump", "", "Prints the commands that make the store as it is", _dump)
DUMP_EVERYTHING: Final = Command(
    "dump", "", "Prints the commands that make all that is configured", _dump_everything
)
_STORES: Final = Kind(
    "local|persistent|domain",
    choice(local=Store.LOCAL, persistent=Store.PERSISTENT, domain=Store.DOMAIN).parse,
    ("local", "persistent", "domain"),
)

COMMANDS: Final = (
    Command(
        "add",
        "policy",
        "Makes a policy",
        objects.add_policy,
        (tags.OWN_NAME, *tags.POLICY),
        'add policy name="Packet Filters" assign=yes',
    ),
    Command(
        "add",
        "filterlist",
        "Makes an empty filter list",
        objects.add_filterlist,
        (tags.OWN_NAME, tags.DESCRIPTION),
        'add filterlist name="Web server"',
    ),
    Command(
        "add",
        "filter",
        "Adds a filter to a filter list",
        objects.add_filter,
        (*tags.FILTER, tags.DESCRIPTION, *tags.FILTER_REST),
        "add filter filterlist=Web srcaddr=any dstaddr=me proto=TCP dstport=80",
    ),
    Command(
        "add",
        "filteraction",
        "Makes a filter action",
        objects.add_filteraction,
        (tags.OWN_NAME, *tags.ACTION),
        "add filteraction name=Block action=block",
    ),
    Command(
        "add",
        "rule",
        "Adds a rule to a policy",
        objects.add_rule,
        (
            tags.OWN_NAME,
            tags.POLICY_OF_RULE,
            *tags.USED,
            *tags.RULE,
            tags.DESCRIPTION,
            *AUTHENTICATION,
        ),
        "add rule name=Web policy=Server filterlist=Web filteraction=Permit",
    ),
    Command(
        "set",
        "policy",
        "Changes, assigns or un-assigns a policy",
        objects.set_policy,
        (
            *tags.by_guid("policies"),
            tags.NEW_NAME,
            *tags.changes(tags.POLICY[:-1]),
            tags.GPO,
            tags.POLICY[-1],
        ),
        'set policy name="Packet Filters" assign=y',
    ),
    Command(
        "set",
        "filterlist",
        "Changes a filter list's name or description",
        objects.set_filterlist,
        (*tags.by_guid("filter_lists"), tags.NEW_NAME, tags.DESCRIPTION),
    ),
    Command(
        "set",
        "filteraction",
        "Changes a filter action",
        objects.set_filteraction,
        (*tags.by_guid("filter_actions"), tags.NEW_NAME, *tags.changes(tags.ACTION)),
    ),
    Command(
        "set",
        "rule",
        "Changes a rule of a policy",
        objects.set_rule,
        (
            *tags.RULE_WHICH,
            tags.POLICY_OF_RULE,
            tags.NEW_NAME,
            tags.DESCRIPTION,
            *tags.changes((*tags.USED, *tags.RULE)),
            *AUTHENTICATION,
        ),
    ),
    Command(
        "set",
        "defaultrule",
        "Changes the default response rule of a policy",
        objects.set_defaultrule,
        (
            tags.POLICY_OF_RULE,
            Tag("qmpfs", YES_NO, "Session key PFS (kept)", field="qmpfs"),
            Tag("activate", YES_NO, "Rule active", field="active"),
            tags.METHODS,
            *AUTHENTICATION,
        ),
    ),
    Command(
        "set",
        "store",
        "Selects the store for the commands that follow",
        _set_store,
        (
            Tag("location", _STORES, "The store", required=True),
            Tag("domain", NAME, "Its domain"),
        ),
        "set store location=persistent",
    ),
    Command(
        "set",
        "batch",
        "Holds changes back, or applies those held back",
        _set_batch,
        (
            Tag(
                "mode",
                choice(enable=True, disable=False),
                "enable to hold back, disable to apply",
                required=True,
            ),
        ),
    ),
    Command(
        "set",
        "interactive",
        "Is accepted; no command asks anything",
        _set_interactive,
        (
            Tag(
                "mode",
                choice(on=True, off=False, enable=True, disable=False),
                "Makes no difference",
                required=True,
            ),
        ),
    ),
    SET_CONFIG,
    _delete("policy", "policies", "Deletes policies with their rules", objects.delete_policy),
    _delete(
        "filterlist", "filter_lists", "Deletes filter lists no rule uses", objects.delete_filterlist
    ),
    _delete(
        "filteraction",
        "filter_actions",
        "Deletes filter actions no rule uses",
        objects.delete_filteraction,
    ),
    Command(
        "delete",
        "filter",
        "Deletes filters of a filter list",
        objects.delete_filter,
        (*tags.FILTER, *tags.FILTER_REST),
    ),
    Command(
        "delete",
        "rule",
        "Deletes rules of a policy",
        objects.delete_rule,
        (*tags.RULE_WHICH, tags.ALL, tags.POLICY_OF_RULE),
    ),
    Command("delete", "all", "Deletes everything in the store", objects.delete_all),
    _show("all", "Shows everything in the store", tags.FORMAT, tags.WIDE),
    _show(
        "policy",
        "Shows policies",
        *(tags.which("policies").optional(), tags.SHOW_ALL, tags.LEVEL, tags.FORMAT, tags.WIDE),
    ),
    _show_by_rule(
        "filterlist",
        "Shows filter lists",
        "filter_lists",
        Tag("resolvedns", YES_NO, "Show the names of addresses", default="no"),
    ),
    _show_by_rule("filteraction", "Shows filter actions", "filter_actions"),
    _show(
        "rule",
        "Shows rules of a policy",
        *tags.changes(tags.RULE_WHICH),
        tags.SHOW_ALL,
        Tag("default", YES_NO, "The default response rule", one_of="which", bare=True),
        tags.POLICY_OF_RULE.optional(),
        Tag("type", choice(tunnel="tunnel", transport="transport"), "Only rules of this type"),
        *(tags.LEVEL, tags.FORMAT, tags.WIDE),
    ),
    _show("store", "Shows the store that commands work on"),
    _show("gpoassignedpolicy", "Shows the policy of the domain", Tag("name", NAME, "Its GPO")),
    DUMP,
    Command("exportpolicy", "", "Writes the store to a file", _export, _FILE),
    Command("importpolicy", "", "Adds what a file holds to the store", _import, _FILE),
    Command(
        "restorepolicyexamples",
        "",
        "Makes the policies, lists and actions that Windows comes with",
        _restore_examples,
        (
            Tag(
                "release",
                choice(win2k="win2k", win2003="win2003"),
                "As which Windows has them",
                required=True,
            ),
        ),
    ),
)
"""Everything that `netsh ipsec static` can do."""
