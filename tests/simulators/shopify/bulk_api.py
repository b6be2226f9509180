"""Bulk operations: queries and mutations that run for a while and answer with a file."""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLList,
    GraphQLNonNull,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    execute,
    get_named_type,
    parse,
    validate,
    visit,
)
from graphql.execution.values import get_variable_values
from werkzeug.wrappers import Request, Response

from .base import action
from .mutations import mutation, user_error
from .records import BulkOperation, StagedUpload, now
from .resolvers import (
    WHOLE_CONNECTIONS,
    by_id,
    resolve_type,
    searched,
    served,
    shop_of,
)
from .shop import Shop

MAX_CONNECTIONS = 5
MAX_DEPTH = 2
#: Of the document of a bulk mutation.
MAX_MUTATION_CONNECTIONS = 1
OPEN = ("CREATED", "RUNNING", "CANCELING")
UPLOADS, RESULTS = "/bulk-uploads/", "/bulk-results/"


# === WHAT SHOPIFY REFUSES === #


class _Refused(Exception):
    pass


class _Checker:
    """Judges the document of a bulk query.

    :param schema: of the version that was asked.
    """

    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self.schema = schema
        self.fragments = {
            d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)
        }
        self.connections = 0

    def check(self, operation: OperationDefinitionNode) -> None:
        if operation.operation != OperationType.QUERY:
            raise _Refused("Invalid bulk query: only queries can be run.")
        if operation.variable_definitions:
            raise _Refused("Invalid bulk query: variables are not supported.")
        roots = list(self._fields(operation.selection_set))
        if len(roots) != 1:
            raise _Refused("Bulk queries must query a single top-level field.")
        if roots[0].name.value in ("node", "nodes"):
            raise _Refused("Bulk queries cannot use the top-level `node` and `nodes` fields.")
        query = self.schema.query_type
        assert query is not None
        self._walk(query, operation.selection_set, 0, in_list=False, has_id=True)
        if not self.connections:
            raise _Refused("Bulk queries must contain at least one connection.")
        if self.connections > MAX_CONNECTIONS:
            raise _Refused(f"Bulk queries cannot contain more than {MAX_CONNECTIONS} connections.")

    def _fields(self, selection_set: SelectionSetNode | None) -> Iterator[FieldNode]:
        for node in selection_set.selections if selection_set else ():
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, FragmentSpreadNode):
                yield from self._fields(self.fragments[node.name.value].selection_set)
            else:
                yield from self._fields(node.selection_set)

    def _walk(self, kind: Any, selection: Any, depth: int, *, in_list: bool, has_id: bool) -> None:
        for node in selection.selections if selection else ():
            if isinstance(node, FragmentSpreadNode):
                fragment = self.fragments[node.name.value]
                inner = self.schema.type_map[fragment.type_condition.name.value]
                self._walk(inner, fragment.selection_set, depth, in_list=in_list, has_id=has_id)
            elif not isinstance(node, FieldNode):
                condition = node.type_condition
                inner = self.schema.type_map[condition.name.value] if condition else kind
                self._walk(inner, node.selection_set, depth, in_list=in_list, has_id=has_id)
            elif not node.name.value.startswith("__"):
                self._field(kind, node, depth, in_list=in_list, has_id=has_id)

    def _field(
        self, kind: Any, node: FieldNode, depth: int, *, in_list: bool, has_id: bool
    ) -> None:
        declared = kind.fields[node.name.value].type
        named: Any = get_named_type(declared)
        if not named.name.endswith("Connection"):
            bare = declared.of_type if isinstance(declared, GraphQLNonNull) else declared
            listed = in_list or isinstance(bare, GraphQLList)
            if node.selection_set:
                self._walk(named, node.selection_set, depth, in_list=listed, has_id=has_id)
            return
        if in_list:
            raise _Refused("Queries that contain a connection field within a list field are not supported.")  # fmt: skip  # noqa: E501
        if not has_id:
            raise _Refused(f"The parent 'node' field for a nested connection must select the 'id' field without an alias and must be of 'ID' return type. Connection fields without 'id': {node.name.value}.")  # fmt: skip  # noqa: E501
        self.connections += 1
        if depth + 1 > MAX_DEPTH + 1:
            raise _Refused(f"Bulk queries cannot contain connections with a nesting depth greater than {MAX_DEPTH}.")  # fmt: skip  # noqa: E501
        for part in self._fields(node.selection_set):
            if part.name.value == "nodes":
                raise _Refused("Bulk query is not valid GraphQL: connections must use `edges` and `node`, not `nodes`.")  # fmt: skip  # noqa: E501
            if part.name.value != "edges":
                continue
            for inner in self._fields(part.selection_set):
                if inner.name.value == "node":
                    self._node(named, inner, depth)

    def _node(self, kind: Any, node: FieldNode, depth: int) -> None:
        edges: Any = get_named_type(kind.fields["edges"].type)
        inner = get_named_type(edges.fields["node"].type)
        has_id = any(
            field.name.value == "id" and not field.alias
            for field in self._fields(node.selection_set)
        )
        self._walk(inner, node.selection_set, depth + 1, in_list=False, has_id=has_id)


def _one_operation(
    text: str, schema: GraphQLSchema
) -> tuple[DocumentNode, OperationDefinitionNode]:
    try:
        document = parse(text)
    except GraphQLSyntaxError as error:
        raise _Refused(f"Invalid bulk query: {error.message}") from error
    problems = validate(schema, document)
    if problems:
        raise _Refused("Invalid bulk query: " + "; ".join(p.message for p in problems))
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    if len(operations) != 1:
        raise _Refused("Invalid bulk query: exactly one operation is needed.")
    return document, operations[0]


def _count_connections(document: DocumentNode, schema: GraphQLSchema) -> int:
    info = TypeInfo(schema)
    found = []

    class Connections(Visitor):
        def enter_field(self, _node: FieldNode, *_args: Any) -> None:
            kind: Any = get_named_type(info.get_type())
            if kind.name.endswith("Connection"):
                found.append(kind.name)

    visit(document, TypeInfoVisitor(info, Connections()))
    return len(found)


# === STARTING === #


def _open(shop: Shop, kind: str) -> list[BulkOperation]:
    return [op for op in shop.all("BulkOperation") if op.type == kind and op.status in OPEN]


def _start(info: GraphQLResolveInfo, kind: str, query: str, **values: Any) -> BulkOperation:
    shop, context = shop_of(info), info.context
    operation = shop.add(
        BulkOperation(
            shop.next_id("BulkOperation"),
            kind,
            query,
            scopes=context.scopes,
            version=context.version,
            address=shop.address,
            **values,
        )
    )
    shop.effects[f"bulk {kind.lower()}"] += 1
    timer = threading.Timer(shop.config.bulk_seconds, finish, (shop, operation))
    timer.daemon = True
    timer.start()
    return operation


def _busy(shop: Shop, kind: str, running: list[BulkOperation]) -> dict[str, Any]:
    ids = ", ".join(op.gid for op in running)
    return user_error(
        f"A bulk {kind.lower()} operation for this app and shop is already in progress: {ids}.",
        None,
        "OPERATION_IN_PROGRESS",
    )


@mutation("bulkOperationRunQuery")
def _run_query(_root: Any, info: GraphQLResolveInfo, query: str, groupObjects: bool = False) -> Any:
    shop = shop_of(info)
    try:
        document, operation = _one_operation(query, info.schema)
        _Checker(info.schema, document).check(operation)
    except _Refused as error:
        problem = user_error(str(error), ["query"], "INVALID")
        return {"bulkOperation": None, "userErrors": [problem]}
    running = _open(shop, "QUERY")
    if len(running) >= shop.config.bulk_slots:
        return {"bulkOperation": None, "userErrors": [_busy(shop, "QUERY", running)]}
    return {"bulkOperation": _start(info, "QUERY", query), "userErrors": []}


@mutation("bulkOperationRunMutation")
def _run_mutation(
    _root: Any,
    info: GraphQLResolveInfo,
    mutation: str,
    stagedUploadPath: str,
    clientIdentifier: str | None = None,
    groupObjects: bool = True,
) -> Any:
    shop = shop_of(info)

    def refused(message: str, path: list[str] | None, code: str | None) -> Any:
        return {"bulkOperation": None, "userErrors": [user_error(message, path, code)]}

    try:
        document, operation = _one_operation(mutation, info.schema)
    except _Refused as error:
        return refused(str(error), ["mutation"], "INVALID_MUTATION")
    if (
        operation.operation != OperationType.MUTATION
        or len(operation.selection_set.selections) != 1
    ):
        message = "The mutation must be a single mutation with one top-level field."
        return refused(message, ["mutation"], "INVALID_MUTATION")
    if _count_connections(document, info.schema) > MAX_MUTATION_CONNECTIONS:
        message = f"Bulk mutations cannot contain more than {MAX_MUTATION_CONNECTIONS} connection."
        return refused(message, ["mutation"], "INVALID_MUTATION")
    if clientIdentifier is not None and not 10 <= len(clientIdentifier) <= 255:
        message = "Client identifier must be between 10 and 255 characters."
        return refused(message, ["clientIdentifier"], None)
    upload = next((u for u in shop.all("StagedUpload") if u.key == stagedUploadPath), None)
    content = shop.files.get(stagedUploadPath)
    if upload is None or content is None:
        message = f"The JSONL file could not be found: {stagedUploadPath}"
        return refused(message, ["stagedUploadPath"], "NO_SUCH_FILE")
    try:
        lines = [json.loads(line) for line in content.split(b"\n") if line.strip()]
    except ValueError:
        message = "Unexpected file structure - expected JSONL"
        return refused(message, ["stagedUploadPath"], "INVALID_STAGED_UPLOAD_FILE")
    running = _open(shop, "MUTATION")
    if len(running) >= shop.config.bulk_slots:
        return {"bulkOperation": None, "userErrors": [_busy(shop, "MUTATION", running)]}
    started = _start(info, "MUTATION", mutation, lines=lines, client_identifier=clientIdentifier)
    return {"bulkOperation": started, "userErrors": []}


@mutation("bulkOperationCancel")
def _cancel(_root: Any, info: GraphQLResolveInfo, id: str) -> Any:
    operation = next((op for op in shop_of(info).all("BulkOperation") if op.gid == id), None)
    if operation is None:
        error = user_error("Bulk operation does not exist", ["id"])
        return {"bulkOperation": None, "userErrors": [error]}
    if operation.status not in OPEN:
        message = f"A bulk operation cannot be canceled when it is {operation.status.lower()}"
        return {"bulkOperation": operation, "userErrors": [user_error(message, None)]}
    operation.status = "CANCELING"
    return {"bulkOperation": operation, "userErrors": []}


# === RUNNING === #


def finish(shop: Shop, operation: BulkOperation) -> None:
    """End an operation: write its file, say so, notify."""
    with shop.lock:
        if shop.records.get("BulkOperation", {}).get(operation.id) is not operation:
            return
        if operation.status not in OPEN:
            return
        failure = shop.config.bulk_failure
        shop.config.bulk_failure = ""
        operation.completed_at = now()
        if operation.status == "CANCELING":
            operation.status = "CANCELED"
        else:
            run = _query_lines if operation.type == "QUERY" else _mutation_lines
            lines, roots, denied = run(shop, operation, failure)
            operation.object_count, operation.root_count = len(lines), roots
            operation.error_code = "ACCESS_DENIED" if denied else failure or None
            operation.status = "FAILED" if operation.error_code else "COMPLETED"
            if operation.error_code:
                operation.completed_at = None
            if lines:
                # an app gets an address that ends, and is good for nothing else
                operation.file = f"{operation.id}-{secrets.token_hex(8)}.jsonl"
                content = "\n".join(lines).replace("/", "\\/") + "\n"
                shop.files[operation.file] = content.encode()
        shop.unsaved.set()
        _announce(shop, operation)


@action
def _announce(shop: Shop, operation: BulkOperation) -> None:
    shop.emit("BULK_OPERATIONS_FINISH", operation)


def _execute(
    shop: Shop, operation: BulkOperation, text: str, variables: dict[str, Any]
) -> tuple[Any, list[Any]]:
    # they import what is declared here
    from .executor import Context, resolve_field
    from .schema import load_schema

    schema = load_schema(operation.version)
    document = parse(text)
    definitions = next(
        d.variable_definitions
        for d in document.definitions
        if isinstance(d, OperationDefinitionNode)
    )
    values = get_variable_values(schema, definitions, variables)
    if isinstance(values, list):
        return None, [{"message": error.message} for error in values]
    token = WHOLE_CONNECTIONS.set(operation.type == "QUERY")
    try:
        result = execute(
            schema,
            document,
            context_value=Context(shop, operation.scopes, operation.version),
            variable_values=variables,
            field_resolver=resolve_field,
            type_resolver=resolve_type,
        )
    finally:
        WHOLE_CONNECTIONS.reset(token)
    errors = [
        {"message": e.message, "path": e.path, "extensions": dict(e.extensions or {})}
        for e in result.errors or ()
    ]
    return result.data, errors


def _query_lines(shop: Shop, operation: BulkOperation, failure: str) -> tuple[list[str], int, bool]:
    data, errors = _execute(shop, operation, operation.query, {})
    if any(error.get("extensions", {}).get("code") == "ACCESS_DENIED" for error in errors):
        return [], 0, True
    if errors:
        raise RuntimeError(f"the simulator cannot answer a bulk query: {errors[0]}")
    objects = list(_flat(data, None))
    roots = sum("__parentId" not in row for row in objects)
    # children may stand anywhere
    shop.random.shuffle(objects)
    if failure:
        objects = objects[: len(objects) // 2]
    return [json.dumps(row, separators=(",", ":")) for row in objects], roots, False


def _flat(value: Any, parent: str | None) -> Iterator[dict[str, Any]]:
    """Yield the objects of all connections in ``value``, each without its own connections."""
    if isinstance(value, list):
        for row in value:
            yield from _flat(row, parent)
    if not isinstance(value, dict):
        return
    for part in value.values():
        if isinstance(part, dict) and isinstance(part.get("edges"), list):
            for edge in part["edges"]:
                node = edge["node"]
                own = {k: _without_connections(v) for k, v in node.items() if not _is_list(v)}
                yield own | ({"__parentId": parent} if parent else {})
                yield from _flat(node, node.get("id"))
        else:
            yield from _flat(part, parent)


def _is_list(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("edges"), list)


def _without_connections(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_connections(v) for k, v in value.items() if not _is_list(v)}
    if isinstance(value, list):
        return [_without_connections(row) for row in value]
    return value


def _mutation_lines(
    shop: Shop, operation: BulkOperation, failure: str
) -> tuple[list[str], int, bool]:
    rows: list[dict[str, Any]] = []
    wanted = len(operation.lines) // 2 if failure else len(operation.lines)
    for number, variables in enumerate(operation.lines[:wanted]):
        data, errors = _execute(shop, operation, operation.query, variables)
        shop.effects["bulk lines"] += 1
        row: dict[str, Any] = {"data": data} if data is not None else {}
        if errors:
            row["errors"] = errors
        rows.append({**row, "__lineNumber": number})
    shop.random.shuffle(rows)
    return [json.dumps(row, separators=(",", ":"), default=str) for row in rows], len(rows), False


# === WHAT THE API SAYS === #


def _url(operation: BulkOperation, info: GraphQLResolveInfo, status: str) -> str | None:
    if operation.status != status or not operation.file:
        return None
    expires = int((operation.created_at + timedelta(days=7)).timestamp())
    signature = secrets.token_hex(16)
    query = f"Expires={expires}&X-Goog-Signature={signature}"
    return f"{operation.address}{RESULTS}{operation.file}?{query}"


def _size(operation: BulkOperation, info: GraphQLResolveInfo) -> str | None:
    content = shop_of(info).files.get(operation.file)
    return None if content is None else str(len(content))


def _operations(_root: Any, info: GraphQLResolveInfo, sortKey: str = "CREATED_AT", **args: Any):
    fields = {
        "id": lambda op: op.id,
        "status": lambda op: op.status.lower(),
        "operation_type": lambda op: op.type.lower(),
        "created_at": lambda op: op.created_at,
    }
    keys = {
        "CREATED_AT": lambda op: op.created_at,
        "COMPLETED_AT": lambda op: op.completed_at or datetime.max,
    }
    # the newest first, unless the caller reverses it
    args["reverse"] = not args.get("reverse", False)
    rows = shop_of(info).all("BulkOperation")
    return searched(rows, fields, keys, info, sortKey=sortKey, **args)


def _current(_root: Any, info: GraphQLResolveInfo, type: str = "QUERY") -> BulkOperation | None:
    rows = [op for op in shop_of(info).all("BulkOperation") if op.type == type]
    return rows[-1] if rows else None


served(
    "QueryRoot",
    bulkOperation=by_id("BulkOperation"),
    bulkOperations=_operations,
    currentBulkOperation=_current,
)
served(
    "BulkOperation",
    id="gid",
    status=lambda op, i: _status(op),
    type="type",
    query="query",
    errorCode="error_code",
    createdAt="created_at",
    completedAt="completed_at",
    objectCount=lambda op, i: str(op.object_count),
    rootObjectCount=lambda op, i: str(op.root_count),
    fileSize=_size,
    url=lambda op, i: _url(op, i, "COMPLETED"),
    partialDataUrl=lambda op, i: _url(op, i, "FAILED"),
)


def _status(operation: BulkOperation) -> str:
    if operation.status == "CREATED" and operation.created_at < now() - timedelta(seconds=0.1):
        return "RUNNING"
    return operation.status


# === FILES === #


def stage(info: GraphQLResolveInfo, input: list[dict[str, Any]]) -> Any:
    """Make room for the variables of bulk mutations."""
    shop, targets = shop_of(info), []
    for row in input:
        if row.get("httpMethod") != "POST":
            message = "Bulk mutation variables are uploaded by POST."
            return {"stagedTargets": None, "userErrors": [user_error(message, ["input"])]}
        key = f"tmp/{shop.shop_id}/bulk/{secrets.token_hex(8)}/{row['filename']}"
        fields = {
            "x-goog-signature": secrets.token_hex(16),
            "success_action_status": "201",
            "Content-Type": row["mimeType"],
            "key": key,
            "acl": "private",
        }
        shop.add(StagedUpload(shop.next_id("StagedUpload"), key, fields))
        targets.append(
            {
                "url": f"{shop.address}{UPLOADS}",
                "resourceUrl": None,
                "parameters": [{"name": name, "value": fields[name]} for name in fields],
            }
        )
    return {"stagedTargets": targets, "userErrors": []}


def _xml(status: int, code: str = "") -> Response:
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code></Error>"
    return Response(body if code else b"", status, content_type="application/xml")


def upload(shop: Shop, request: Request) -> Response:
    """The storage service: takes a form with the fields it gave out, and the file behind them."""
    names = [
        found.decode()
        for found in re.findall(rb'form-data; name="([^"]+)"', request.get_data(cache=True))
    ]
    form = request.form
    with shop.lock:
        known = next((u for u in shop.all("StagedUpload") if u.key == form.get("key")), None)
        if known is None or any(form.get(name) != value for name, value in known.fields.items()):
            return _xml(403, "AccessDenied")
        file = request.files.get("file")
        if file is None or names[-1] != "file":
            return _xml(400, "InvalidArgument")
        content = file.read()
        if len(content) > shop.config.bulk_file_bytes:
            return _xml(400, "EntityTooLarge")
        shop.files[known.key] = content
        shop.effects["bulk upload"] += 1
    return _xml(201)


def result(shop: Shop, request: Request) -> Response:
    """The storage service: hands out a result, or a part of it, while its address is good."""
    with shop.lock:
        content = shop.files.get(request.path.removeprefix(RESULTS))
        late = shop.config.bulk_expired or request.args.get("Expires", type=float, default=0)
        if content is None or not request.args.get("X-Goog-Signature") or late < time.time():
            return _xml(403, "ExpiredToken")
    wanted = request.range
    if wanted is None or len(wanted.ranges) != 1:
        return Response(content, 200, content_type="application/jsonl")
    span = wanted.range_for_length(len(content))
    if span is None:
        return _xml(416, "InvalidRange")
    start, end = span
    headers = {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"}
    return Response(content[start:end], 206, headers, content_type="application/jsonl")
