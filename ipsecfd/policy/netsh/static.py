"""The commands of `netsh ipsec static`, on the stores (spec 8.2)."""

from __future__ import annotations

from typing import Any, Final

from ipsecfd.policy import examples
from ipsecfd.policy.model import Store
from ipsecfd.policy.netsh import objects, values
from ipsecfd.policy.netsh.config import SET_CONFIG
from ipsecfd.policy.netsh.errors import Code, CommandError
from ipsecfd.policy.netsh.state import PolicyFiles, State
from ipsecfd.policy.netsh.syntax import Arguments, Command, Tag
from ipsecfd.policy.netsh.tags import (
    AUTHENTICATION,
    CONNECTION,
    DESTINATION,
    DESTINATION_MASK,
    DESTINATION_PORT,
    MIRRORED,
    PROTOCOL,
    SOURCE,
    SOURCE_MASK,
    SOURCE_PORT,
    show_request,
)
from ipsecfd.policy.netsh.values import NAME, TEXT, YES_NO, Kind, choice

_NEW_NAME: Final = Tag("newname", NAME, "New name", field="name")
_DESCRIPTION: Final = Tag("description", TEXT, "Description", field="description")
_METHODS: Final = Tag(
    "qmsecmethods", TEXT, "Quick mode methods (kept, without effect)", field="qmsecmethods"
)
_ALL: Final = Tag("all", YES_NO, "Every one", required=True, one_of="which", bare=True)


_NAME: Final = Tag("name", NAME, "Its name", required=True, field="name")


def _which(objects: str = "") -> Tag:
    return Tag("name", NAME, "Its name", required=True, one_of="which", objects=objects)


def _by_guid(objects: str) -> tuple[Tag, Tag]:
    guid = Tag("guid", values.GUID, "Or its GUID", required=True, one_of="which")
    return _which(objects), guid


def _changes(tags: tuple[Tag, ...]) -> tuple[Tag, ...]:
    """The tags of `add`, for a `set` that changes only what is given."""
    return tuple(tag.optional() for tag in tags)


_POLICY: Final = (
    _DESCRIPTION,
    Tag("mmpfs", YES_NO, "Master key perfect forward secrecy (kept)", default="no", field="mmpfs"),
    Tag("qmpermm", values.COUNT, "Quick modes per main mode", default="0", field="qmpermm"),
    Tag("mmlifetime", values.MINUTES, "A new key after so long", default="480", field="mmlifetime"),
    Tag("activatedefaultrule", YES_NO, "Default response rule active", default="yes"),
    Tag(
        "pollinginterval",
        values.POLLING,
        "Look for changes this often",
        default="180",
        field="polling",
    ),
    Tag("assign", YES_NO, "Assign the policy", default="no"),
    Tag("mmsecmethods", TEXT, "Main mode methods (kept)", field="mmsecmethods"),
)
_GPO: Final = Tag("gponame", NAME, "Group Policy object; for the domain store")
_FILTER: Final = (
    Tag(
        "filterlist",
        NAME,
        "The filter list; made if there is none",
        required=True,
        objects="filter_lists",
    ),
    SOURCE,
    DESTINATION,
)
_FILTER_REST: Final = (
    *(PROTOCOL, MIRRORED, SOURCE_MASK, DESTINATION_MASK, SOURCE_PORT, DESTINATION_PORT),
)
_ACTION: Final = (
    _DESCRIPTION,
    Tag("qmpfs", YES_NO, "Session key PFS (kept)", default="no", field="qmpfs"),
    Tag("inpass", YES_NO, "Accept unsecured inbound packets", default="no", field="inpass"),
    Tag("soft", YES_NO, "Accept peers without IPsec", default="no", field="soft"),
    Tag("action", values.BEHAVIOUR, "What it does", default="negotiate", field="behaviour"),
    _METHODS,
)
_POLICY_OF_RULE: Final = Tag("policy", NAME, "The rule's policy", required=True, objects="policies")
_USED: Final = (
    Tag(
        "filterlist",
        NAME,
        "Its filter list",
        required=True,
        field="filter_list",
        objects="filter_lists",
    ),
    Tag(
        "filteraction",
        NAME,
        "Its filter action",
        required=True,
        field="filter_action",
        objects="filter_actions",
    ),
)
_RULE: Final = (
    Tag("tunnel", values.TUNNEL, "Tunnel end point (kept, without effect)", field="tunnel"),
    CONNECTION,
    Tag("activate", YES_NO, "Rule active", default="yes", field="active"),
)
_RULE_WHICH: Final = (
    _which(),
    Tag("id", values.ID, "Or its number in the policy", required=True, one_of="which"),
)
_LEVEL: Final = Tag(
    "level", choice(verbose="verbose", normal="normal"), "How much", default="normal"
)
_FORMAT: Final = Tag("format", choice(list="list", table="table"), "Layout", default="list")
_WIDE: Final = Tag("wide", YES_NO, "Do not cut long columns", default="no")
_SHOW_ALL: Final = Tag("all", YES_NO, "Every one", one_of="which", bare=True)


def _set_store(state: State, arguments: Arguments) -> str:
    state.store = arguments["location"]
    return ""


def _set_batch(state: State, arguments: Arguments) -> str:
    state.batch = arguments["mode"]
    return ""


def _set_interactive(_: State, __: Arguments) -> str:
    return ""  # Windows' commands ask nothing, and neither do these


def _files(state: State) -> PolicyFiles:
    if state.files is None:
        raise CommandError(Code.REFUSED, "files are neither read nor written here")
    return state.files


def _path(arguments: Arguments) -> str:
    path: str = arguments["file"]
    name = path.replace("\\", "/").rpartition("/")[2]
    return path if "." in name.lstrip(".") else f"{path}.ipsec"


def _export(state: State, arguments: Arguments) -> str:
    _files(state).write(_path(arguments), state.draft.content())
    return ""


def _import(state: State, arguments: Arguments) -> str:
    _files(state).read(_path(arguments), state.draft)
    return ""


def _restore_examples(state: State, _: Arguments) -> str:
    examples.restore_examples(state.draft, state.now)
    return ""


def _dump(state: State, _: Arguments) -> str:
    from ipsecfd.policy.netsh import dump

    return dump.static(state.workspace, state.store)


def _show(kind: str, about: str, *tags: Tag) -> Command:
    def run(state: State, arguments: Arguments) -> str:
        from ipsecfd.policy.netsh import show

        request = show_request(kind, arguments, state.workspace.profile)
        return show.static(request, state.workspace, state.store)

    return Command("show", kind, about, run, tags)


def _show_by_rule(kind: str, about: str, objects: str, *more: Tag) -> Command:
    name = _which(objects).optional()
    rule = Tag("rule", NAME, "Those that this rule uses", one_of="which")
    return _show(kind, about, name, rule, _SHOW_ALL, _LEVEL, _FORMAT, *more, _WIDE)


def _delete(kind: str, objects_of: str, about: str, run: Any) -> Command:
    return Command("delete", kind, about, run, (_which(objects_of), _ALL))


_FILE: Final = (Tag("file", values.FILE, "The file; .ipsec is added", required=True),)
DUMP: Final = Command("dump", "", "Prints the commands that make the store as it is", _dump)
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
        (_NAME, *_POLICY),
        'add policy name="Packet Filters" assign=yes',
    ),
    Command(
        "add",
        "filterlist",
        "Makes an empty filter list",
        objects.add_filterlist,
        (_NAME, _DESCRIPTION),
        'add filterlist name="Web server"',
    ),
    Command(
        "add",
        "filter",
        "Adds a filter to a filter list",
        objects.add_filter,
        (*_FILTER, _DESCRIPTION, *_FILTER_REST),
        "add filter filterlist=Web srcaddr=any dstaddr=me proto=TCP dstport=80",
    ),
    Command(
        "add",
        "filteraction",
        "Makes a filter action",
        objects.add_filteraction,
        (_NAME, *_ACTION),
        "add filteraction name=Block action=block",
    ),
    Command(
        "add",
        "rule",
        "Adds a rule to a policy",
        objects.add_rule,
        (_NAME, _POLICY_OF_RULE, *_USED, *_RULE, _DESCRIPTION, *AUTHENTICATION),
        "add rule name=Web policy=Server filterlist=Web filteraction=Permit",
    ),
    Command(
        "set",
        "policy",
        "Changes, assigns or un-assigns a policy",
        objects.set_policy,
        (*_by_guid("policies"), _NEW_NAME, *_changes(_POLICY[:-1]), _GPO, _POLICY[-1]),
        'set policy name="Packet Filters" assign=y',
    ),
    Command(
        "set",
        "filterlist",
        "Changes a filter list's name or description",
        objects.set_filterlist,
        (*_by_guid("filter_lists"), _NEW_NAME, _DESCRIPTION),
    ),
    Command(
        "set",
        "filteraction",
        "Changes a filter action",
        objects.set_filteraction,
        (*_by_guid("filter_actions"), _NEW_NAME, *_changes(_ACTION)),
    ),
    Command(
        "set",
        "rule",
        "Changes a rule of a policy",
        objects.set_rule,
        (
            *_RULE_WHICH,
            _POLICY_OF_RULE,
            _NEW_NAME,
            _DESCRIPTION,
            *_changes((*_USED, *_RULE)),
            *AUTHENTICATION,
        ),
    ),
    Command(
        "set",
        "defaultrule",
        "Changes the default response rule of a policy",
        objects.set_defaultrule,
        (
            _POLICY_OF_RULE,
            Tag("qmpfs", YES_NO, "Session key PFS (kept)", field="qmpfs"),
            Tag("activate", YES_NO, "Rule active", field="active"),
            _METHODS,
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
        (*_FILTER, *_FILTER_REST),
    ),
    Command(
        "delete",
        "rule",
        "Deletes rules of a policy",
        objects.delete_rule,
        (*_RULE_WHICH, _ALL, _POLICY_OF_RULE),
    ),
    Command("delete", "all", "Deletes everything in the store", objects.delete_all),
    _show("all", "Shows everything in the store", _FORMAT, _WIDE),
    _show(
        "policy",
        "Shows policies",
        *(_which("policies").optional(), _SHOW_ALL, _LEVEL, _FORMAT, _WIDE),
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
        *_changes(_RULE_WHICH),
        _SHOW_ALL,
        Tag("default", YES_NO, "The default response rule", one_of="which", bare=True),
        _POLICY_OF_RULE.optional(),
        Tag("type", choice(tunnel="tunnel", transport="transport"), "Only rules of this type"),
        *(_LEVEL, _FORMAT, _WIDE),
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
