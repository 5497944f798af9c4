"""`import`: store the secrets of a .env file, a JSON object or the TypeScript tool's store."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from claude_secrets import plain_file
from claude_secrets.cli.asking import first_line, require_yes
from claude_secrets.cli.listing import short
from claude_secrets.cli.opening import add_scope, allowlist_of, find_project, invocation_of, the_person, yes_of
from claude_secrets.cli.output import counted, hint, note, say, say_json, table
from claude_secrets.cli.presence import Yes
from claude_secrets.errors import CallerError, Code, SecretsError
from claude_secrets.exec.git import Repository
from claude_secrets.model import PERSON, SHARED, check_scope
from claude_secrets.paths import command, expanded
from claude_secrets.person import import_files, importing
from claude_secrets.person.import_files import FileKind, ImportedFile
from claude_secrets.person.importing import Change, Planned
from claude_secrets.person.person import Person
from claude_secrets.plain_file import PlainFile
from claude_secrets.policy.planted import grounds_of
from claude_secrets.shell_words import removal
from claude_secrets.store.records import Stored


def add_arguments(parser: ArgumentParser) -> None:
    """Add FILE, its kind, and the options to overwrite secrets and to rewrite the file."""
    parser.add_argument("file", metavar="FILE", help="a .env file, a JSON object of strings, or secrets.encrypted")
    parser.add_argument(
        "--from",
        dest="kind",
        choices=[*FileKind],
        help="the kind of file (by default, recognised by the file's name or content)",
    )
    parser.add_argument(
        "--rewrite",
        action="store_true",
        help="dotenv: replace each imported value with secret://NAME; the old file is saved as FILE.before-import",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="overwrite secrets that are already stored with another value"
    )
    parser.add_argument(
        "--key-fd", metavar="N", type=int, help="typescript: read the file's key (base64) from this file descriptor"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_scope(parser)


def run(options: Namespace) -> int:
    """Read the file, show the planned changes, and ask. Then store all secrets at once, and rewrite the file last."""
    file = plain_file.read_plain_file(expanded(options.file), limit=import_files.SIZE_LIMIT)
    kind = _kind(file, options.kind, rewrite=options.rewrite, has_key=options.key_fd is not None)
    invocation = invocation_of(options)
    project = find_project(invocation)
    contents = import_files.read_entries(kind, file.data, lambda: _key(options.key_fd))
    _refuse_problems(contents)
    after = _rewriting(file, contents) if options.rewrite else None
    person = the_person(invocation, project, None if options.scope is None else check_scope(options.scope))
    if after is not None:
        _refuse_another_scope(person)
    planned = importing.preview(person, contents.entries)
    _show(planned, contents, as_json=options.json)
    _refuse_overwriting(planned, file, overwrite=options.overwrite, rewrite=options.rewrite)
    stored: list[Stored] = []
    rewritten = None
    if _is_to_do(planned, after):
        person.store.require_key()
        _ask(planned, file, person, yes_of(invocation), rewrite=options.rewrite)
        stored = importing.carry_out(person, planned)
        _tell(planned, stored, person, as_json=options.json)
        if after is not None:
            rewritten = _rewrite(file, after, as_json=options.json)
    elif not options.json:
        say("Nothing to import.")
    if options.json:
        say_json(_as_data(kind, planned, stored, contents, rewritten))
    return 0


def _kind(file: PlainFile, named: str | None, *, rewrite: bool, has_key: bool) -> FileKind:
    if named is not None:
        kind, how = FileKind(named), "by --from"
    else:
        kind, how = import_files.recognise(file.asked.name, file.data)
    note(f"Read as {kind} ({how}).")
    if (rewrite and kind is not FileKind.DOTENV) or (has_key and kind is not FileKind.TYPESCRIPT):
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            f"The file is read as {kind}. --rewrite needs a dotenv file, and --key-fd needs a typescript file.",
            "To read the file as another kind, use --from.",
        )
    return kind


def _key(descriptor: int | None) -> bytes:
    if descriptor is not None:
        return first_line(descriptor, "key").encode()
    from claude_secrets.keys.mac_keychain import password

    return password(service="claude-secrets-mcp", account="master-key")


def _refuse_problems(contents: ImportedFile) -> None:
    for problem in contents.problems:
        note(f"{problem.where}: [{problem.code}] {problem.words}")
    if contents.problems:
        raise CallerError(
            contents.problems[0].code,
            f"The file has {counted(len(contents.problems), 'problem')}, listed above; nothing was imported.",
        )


def _rewriting(file: PlainFile, contents: ImportedFile) -> bytes | None:
    """Return the file's content with references instead of values; None if that changes nothing."""
    after = import_files.rewrite(file.data, contents.entries)
    if after == file.data:
        return None
    plain_file.refuse_what_cannot_be_replaced(file)
    return after


def _refuse_another_scope(person: Person) -> None:
    """Refuse `--rewrite` if the references would name secrets in another scope than the import's."""
    meant = allowlist_of(person.project).scope if person.project else SHARED
    if meant != person.scope:
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            f"The file's references would name secrets in scope '{meant}', but the import uses '{person.scope}'; "
            "nothing was imported.",
            "Import without --scope, or without --rewrite.",
        )


def _show(planned: Sequence[Planned], contents: ImportedFile, *, as_json: bool) -> None:
    for line in contents.notes:
        note(f"note: {line}")
    rows = [(each.entry.name, _words(each)) for each in planned]
    if rows:
        note(f"{_counted(planned)}:")
    if as_json:
        for name, words in rows:
            note(f"{name}: {words}")
    elif rows:
        table([("NAME", "IMPORTING"), *rows])


def _words(planned: Planned) -> str:
    words = _change(planned)
    return f"{words}; stored from {short(planned.origin)}" if planned.origin else words


def _change(planned: Planned) -> str:
    return {
        Change.NEW: "new",
        Change.SAME: f"already has this value (version {planned.version})",
        Change.OVERWRITES: f"overwrites version {planned.version}",
        Change.BRINGS_BACK: "restores a deleted secret",
    }[planned.change]


def _refuse_overwriting(planned: Sequence[Planned], file: PlainFile, *, overwrite: bool, rewrite: bool) -> None:
    names = [each.entry.name for each in planned if each.change is Change.OVERWRITES]
    if names and not overwrite:
        raise CallerError(
            Code.INVALID_ARGUMENTS,
            f"Already stored with another value: {', '.join(names)}. Nothing was imported.",
            "To overwrite these secrets, add --overwrite (earlier versions are kept).",
        )
    if rewrite:
        elsewhere = [name for name in names if name in import_files.mentioned_by(file.data)]
        if elsewhere:
            raise CallerError(
                Code.INVALID_ARGUMENTS,
                f"Other variables in the file use {', '.join(elsewhere)}, so overwriting would change them, too; "
                "nothing was imported.",
                "To change these variables anyway, import the file twice: first with --overwrite, then with --rewrite.",
            )


def _is_to_do(planned: Sequence[Planned], after: bytes | None) -> bool:
    return after is not None or any(each.change is not Change.SAME for each in planned)


def _ask(planned: Sequence[Planned], file: PlainFile, person: Person, yes: Yes, *, rewrite: bool) -> None:
    if yes.given and any(each.origin for each in planned):
        yes.require_person("`import --yes` for secrets that were stored elsewhere")
    asked = f"Import {_counted(planned)} from {short(str(file.asked))} into scope '{person.scope}'"
    if rewrite:
        if file.is_linked:
            note(f"note: {file.asked} is a link to {file.path}, which will be rewritten")
        if file.status.st_nlink > 1:
            note("note: the file also has another name (a hard link), under which the values will stay readable")
        asked += ", and replace the values in the file with references"
    require_yes(f"{asked}?", yes=yes.given)


def _counted(planned: Sequence[Planned]) -> str:
    overwritten = sum(each.change is Change.OVERWRITES for each in planned)
    return counted(len(planned), "secret") + (f" ({overwritten} overwritten)" if overwritten else "")


def _had(same: int) -> str:
    return f"; {same} of them already had this value" if same else ""


def _tell(planned: Sequence[Planned], stored: Sequence[Stored], person: Person, *, as_json: bool) -> None:
    if not as_json:
        same = sum(each.change is Change.SAME for each in planned)
        say(f"Imported {_counted(planned)} into scope '{person.scope}'{_had(same)}.")
    for each, done in zip(planned, stored, strict=True):
        if done.moved_from is not None and done.moved_from != PERSON:
            hint(f"'{each.entry.name}' belonged to {short(done.moved_from)}; it now belongs to this project")
    if person.project is None:
        return
    allowlist = allowlist_of(person.project)
    if any(allowlist.entry_for(each.entry.name) is None for each in planned):
        hint(f"agents of this project cannot use all imported secrets yet; to allow a secret: {command()} allow NAME")


def _rewrite(file: PlainFile, after: bytes, *, as_json: bool) -> Path:
    """Replace the values in the file with references. The secrets stay stored even if the rewriting fails."""
    _keep_out_of_git(plain_file.copy_of(file))
    try:
        copy = plain_file.rewrite(file, after)
    except SecretsError as error:
        hint_again = "The secrets were imported. Run the command again to rewrite the file."
        raise error.with_hint(hint_again) from None
    if not as_json:
        say(f"Rewrote {file.path}: the file now contains references instead of the values.")
    hint(f"the copy of the old file still contains the values; to remove the copy: {removal(copy)}")
    if b"#" in after:
        hint("comments in the file were not changed; check whether a comment contains a value")
    hint("if the file was ever committed, git's history may contain the values: get new values from their issuers")
    return copy


def _keep_out_of_git(copy: Path) -> None:
    """Make git ignore the copy before the copy exists. Otherwise, `git add -A` would add the values."""
    try:
        ignored = Repository(copy.parent, os.environ, grounds_of(copy.parent)).keep_out(copy)
    except CallerError:  # there is no git, or no repository
        ignored = not any((ground / ".git").exists() for ground in grounds_of(copy.parent))
    if not ignored:
        hint(f"git does not ignore {copy}: do not commit that file, because it contains the values")


def _as_data(
    kind: FileKind, planned: Sequence[Planned], stored: Sequence[Stored], contents: ImportedFile, copy: Path | None
) -> dict[str, object]:
    versions = [done.version for done in stored] or [each.version for each in planned]
    return {
        "from": kind.value,
        "secrets": [
            {"name": each.entry.name, "change": each.change.value, "version": version}
            for each, version in zip(planned, versions, strict=True)
        ],
        "notes": [*contents.notes],
        "copy": None if copy is None else str(copy),
    }
