"""One GraphQL request: parse, validate, coerce, weigh, execute - with Shopify's answers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    SelectionSetNode,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    execute,
    get_named_type,
    get_operation_ast,
    parse,
    print_ast,
    validate,
    visit,
)
from graphql.execution.values import get_variable_values

from . import api  # noqa: F401  (declares the fields and the mutations)
from .cost import MAX_COST, Bucket, Costs
from .records import Order
from .resolvers import FIELDS, plain, resolve_type
from .schema import load_schema
from .shop import Shop

_DOCS = "https://shopify.dev/api/usage"

# Type of the answer -> scopes of which one is enough.
_TYPE_SCOPES: dict[str, tuple[str, ...]] = {
    "Order": ("read_orders", "read_marketplace_orders", "read_quick_sale"),
    "Customer": ("read_customers",),
    "Product": ("read_products",),
    "ProductVariant": ("read_products",),
    "Collection": ("read_products",),
    "TranslatableResource": ("read_translations",),
    "Publication": ("read_publications",),
    "ResourcePublicationV2": ("read_publications",),
    "ShopLocale": ("read_locales", "read_markets_home"),
    "Market": ("read_markets", "write_markets"),
    "PriceList": ("read_products",),
    "Location": ("read_locations", "read_inventory", "read_markets_home"),
    "InventoryItem": ("read_inventory", "read_products"),
    "InventoryLevel": ("read_inventory",),
    "FulfillmentOrder": (
        "read_merchant_managed_fulfillment_orders",
        "read_assigned_fulfillment_orders",
        "read_third_party_fulfillment_orders",
    ),
    "PaymentTerms": ("read_payment_terms",),
    "Company": ("read_customers", "read_companies"),
    "CompanyContact": ("read_customers", "read_companies"),
    "CompanyLocation": ("read_customers", "read_companies"),
    "Return": ("read_returns", "read_marketplace_returns"),
    "ReverseFulfillmentOrder": ("read_returns", "read_marketplace_returns"),
}
_FULFILMENT_SCOPES = (
    "write_merchant_managed_fulfillment_orders",
    "write_assigned_fulfillment_orders",
    "write_third_party_fulfillment_orders",
)
# Mutation -> scopes of which one is enough.
_MUTATION_SCOPES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "inventoryActivate",
            "inventoryAdjustQuantities",
            "inventoryDeactivate",
            "inventorySetQuantities",
        ),
        ("write_inventory",),
    ),
    **dict.fromkeys(
        (
            "priceListFixedPricesAdd",
            "priceListFixedPricesDelete",
            "priceListFixedPricesUpdate",
        ),
        ("write_products",),
    ),
    **dict.fromkeys(
        (
            "orderCancel",
            "orderCapture",
            "orderClose",
            "orderMarkAsPaid",
            "orderOpen",
            "orderUpdate",
            "refundCreate",
            "transactionVoid",
        ),
        ("write_orders",),
    ),
    **dict.fromkeys(
        (
            "fulfillmentCancel",
            "fulfillmentCreate",
            "fulfillmentOrderCancel",
            "fulfillmentOrderHold",
            "fulfillmentOrderMove",
            "fulfillmentOrderReleaseHold",
            "fulfillmentOrderSplit",
            "fulfillmentTrackingInfoUpdate",
            "fulfillmentTrackingInfoUpdateV2",
        ),
        _FULFILMENT_SCOPES,
    ),
    "fulfillmentEventCreate": ("write_fulfillments",),
    **dict.fromkeys(
        (
            "productDelete",
            "productOptionsDelete",
            "productReorderMedia",
            "productSet",
            "productUpdate",
            "productVariantsBulkCreate",
            "productVariantsBulkDelete",
            "productVariantsBulkUpdate",
        ),
        ("write_products",),
    ),
    **dict.fromkeys(("publishablePublish", "publishableUnpublish"), ("write_publications",)),
    **dict.fromkeys(("translationsRegister", "translationsRemove"), ("write_translations",)),
    "fileUpdate": ("write_files", "write_themes"),
    **dict.fromkeys(
        (
            "customerAddressCreate",
            "customerAddressDelete",
            "customerAddressUpdate",
            "customerCreate",
            "customerDelete",
            "customerEmailMarketingConsentUpdate",
            "customerSmsMarketingConsentUpdate",
            "customerSet",
            "customerUpdate",
        ),
        ("write_customers",),
    ),
    "customerMerge": ("write_customer_merge",),
    **dict.fromkeys(
        (
            "returnApproveRequest",
            "returnCancel",
            "returnClose",
            "returnCreate",
            "returnDeclineRequest",
            "returnProcess",
            "returnReopen",
            "returnRequest",
        ),
        ("write_returns", "write_marketplace_returns"),
    ),
}
# Protected customer data: null with an error when the app or the plan may not see it.
_PROTECTED = {
    "Order": {"email", "phone", "billingAddress", "shippingAddress", "displayAddress"},
    "Customer": {
        "firstName",
        "lastName",
        "displayName",
        "email",
        "phone",
        "defaultEmailAddress",
        "defaultPhoneNumber",
        "defaultAddress",
        "addresses",
        "addressesV2",
    },
}


@dataclass
class Context:
    """What the resolvers of one request know."""

    shop: Shop
    scopes: tuple[str, ...]
    version: str
    # where uploads are sent to
    origin: str = "http://localhost"
    overrides: list[Override] = field(default_factory=list)
    search: list[dict[str, Any]] = field(default_factory=list)

    gql_type = "AppInstallation"

    @cached_property
    def allowed(self) -> set[str]:
        """The scopes, and the reading that writing includes."""
        read = {s.replace("write_", "read_", 1) for s in self.scopes if s.startswith("write_")}
        return read.union(self.scopes)

    def warn_search(self, info: GraphQLResolveInfo, query: str | None, fields: list[str]) -> None:
        self.search.append(
            {
                "path": info.path.as_list(),
                "query": query,
                "warnings": [
                    {
                        "field": name,
                        "message": "Invalid search field for this query.",
                        "code": "invalid_field",
                    }
                    for name in fields
                ],
            }
        )


def _denied(what: str, scopes: tuple[str, ...]) -> GraphQLError:
    wanted = " or ".join(f"`{scope}`" for scope in scopes)
    return GraphQLError(
        f"Access denied for {what} field. Required access: {wanted} access scope.",
        extensions={
            "code": "ACCESS_DENIED",
            "documentation": f"{_DOCS}/access-scopes",
            "requiredAccess": f"{wanted} access scope.",
        },
    )


def resolve_field(source: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
    """Answer one field, or raise: nothing the simulator does not serve is silently null."""
    parent, name, context = info.parent_type.name, info.field_name, info.context
    _check_access(parent, name, info, context)
    if isinstance(source, Order) and source.corrupt:
        _remember_overrides(source, info, context)
    function = FIELDS.get(parent, {}).get(name)
    if function is not None:
        value = plain(function(source, info, **arguments))
        return _without_denied(value, info) if name in ("node", "nodes") else value
    # A payload leaves out what did not come about; everything else it has to say.
    if isinstance(source, dict) and (name in source or parent.endswith("Payload")):
        return source.get(name)
    raise GraphQLError(
        f"This simulator does not serve {parent}.{name}.",
        extensions={"code": "NOT_SIMULATED", "typeName": parent, "fieldName": name},
    )


def _check_access(parent: str, name: str, info: GraphQLResolveInfo, context: Context) -> None:
    if parent == "Mutation":
        enough = _MUTATION_SCOPES.get(name)
        if enough and not context.allowed & set(enough):
            raise _denied(name, enough)
        return
    if not context.shop.config.protected_data and name in _PROTECTED.get(parent, ()):
        raise GraphQLError(
            f"This app is not approved to use the {name} field. "
            f"See {_DOCS}/protected-customer-data for more details.",
            extensions={
                "code": "ACCESS_DENIED",
                "documentation": f"{_DOCS}/protected-customer-data",
            },
        )
    if parent.endswith(("Connection", "Edge", "Payload")):
        return
    kind = get_named_type(info.return_type).name.removesuffix("Connection")
    wanted = _TYPE_SCOPES.get(kind)
    if wanted and not context.allowed & set(wanted):
        raise _denied(name, wanted)


def _without_denied(value: Any, info: GraphQLResolveInfo) -> Any:
    """Leave out of what was looked up by id the records that the scopes do not cover.

    What such a field may return says nothing of its type: only the record does.
    """
    if info.parent_type.name != "QueryRoot":
        return value
    if isinstance(value, list):
        return [_without_denied(item, info) for item in value]
    wanted = _TYPE_SCOPES.get(resolve_type(value, info, None) or "")
    if wanted and not info.context.allowed & set(wanted):
        return _denied(info.field_name, wanted)
    return value


def _remember_overrides(order: Order, info: GraphQLResolveInfo, context: Context) -> None:
    """Note where a field that is to break the contract stands in the answer."""
    for path, value in order.corrupt.items():
        name, _dot, rest = path.partition(".")
        if name == info.field_name:
            steps = rest.split(".") if rest else []
            context.overrides.append(Override(info.path.as_list(), steps, value, info))


@dataclass
class Override:
    """A value the answer gets at ``where`` / ``steps`` instead of the true one.

    The steps are field names and list positions ("shopMoney.amount", "nodes.0.sku"), whatever the
    document calls them; ``"__delete__"`` as value takes the key out of the answer.
    """

    where: list[Any]
    steps: list[str]
    value: Any
    info: GraphQLResolveInfo

    def apply(self, data: Any) -> None:
        target: Any = data
        for step in self.where[:-1]:
            target = target[step]
        places = [(target, self.where[-1], list(self.info.field_nodes))]
        for step in self.steps:
            places = [found for place in places for found in self._below(place, step)]
        for container, key, _nodes in places:
            if self.value == "__delete__":
                container.pop(key, None)
            else:
                container[key] = self.value

    def _below(self, place: tuple[Any, Any, list[FieldNode]], step: str) -> list[Any]:
        container, key, nodes = place
        here = container[key]
        if isinstance(here, list):
            return [(here, int(step), nodes)] if step.isdigit() and int(step) < len(here) else []
        if not isinstance(here, dict):
            return []
        found: dict[str, list[FieldNode]] = {}
        for node in nodes:
            for child in self._fields(node.selection_set):
                if child.name.value == step:
                    found.setdefault(child.alias.value if child.alias else step, []).append(child)
        return [(here, name, children) for name, children in found.items() if name in here]

    def _fields(self, selection_set: SelectionSetNode | None) -> list[FieldNode]:
        fields: list[FieldNode] = []
        for node in selection_set.selections if selection_set else []:
            if isinstance(node, FieldNode):
                fields.append(node)
            elif isinstance(node, FragmentSpreadNode):
                fields += self._fields(self.info.fragments[node.name.value].selection_set)
            else:
                fields += self._fields(node.selection_set)
        return fields


# === ERRORS === #

_UNKNOWN_FIELD = re.compile(r"Cannot query field '(\w+)' on type '(\w+)'")
_UNKNOWN_ARGUMENT = re.compile(r"Unknown argument '(\w+)' on field '(\w+)\.(\w+)'")
_MISSING_ARGUMENT = re.compile(r"Field '(\w+)' argument '(\w+)' of type '([^']+)' is required")
_VARIABLE = re.compile(
    r"Variable '\$(\w+)' got invalid value (.*?)(?: at '([^']+)')?; (.*)", re.DOTALL
)
_MISSING_VARIABLE = re.compile(r"Variable '\$(\w+)' of (?:required|non-null) type '([^']+)'")


def _validation_error(
    error: GraphQLError, operation: OperationDefinitionNode | None
) -> dict[str, Any]:
    name = operation.name.value if operation and operation.name else None
    kind = operation.operation.value if operation else "query"
    path: list[Any] = [f"{kind} {name}" if name else kind]
    message, extensions = error.message, {"code": "invalidDocument"}
    if found := _UNKNOWN_FIELD.search(error.message):
        field_name, type_name = found.groups()
        message = f"Field '{field_name}' doesn't exist on type '{type_name}'"
        extensions = {"code": "undefinedField", "typeName": type_name, "fieldName": field_name}
        path += [field_name]
    elif found := _UNKNOWN_ARGUMENT.search(error.message):
        argument, _type, field_name = found.groups()
        message = f"Field '{field_name}' doesn't accept argument '{argument}'"
        extensions = {
            "code": "argumentNotAccepted",
            "name": field_name,
            "typeName": "Field",
            "argumentName": argument,
        }
        path += [field_name, argument]
    elif found := _MISSING_ARGUMENT.search(error.message):
        field_name, argument, _kind = found.groups()
        message = f"Field '{field_name}' is missing required arguments: {argument}"
        extensions = {
            "code": "missingRequiredArguments",
            "className": "Field",
            "name": field_name,
            "arguments": argument,
        }
        path += [field_name]
    return {
        "message": message,
        "locations": [{"line": loc.line, "column": loc.column} for loc in error.locations or []],
        "path": path,
        "extensions": extensions,
    }


def _variable_error(
    error: GraphQLError, operation: OperationDefinitionNode, variables: dict[str, Any]
) -> dict[str, Any]:
    locations = [{"line": loc.line, "column": loc.column} for loc in error.locations or []]
    if found := _VARIABLE.search(error.message):
        name, _value, where, explanation = found.groups()
        steps = re.findall(r"\w+", where or name)[1:]
        kind = next(
            print_ast(d.type)
            for d in operation.variable_definitions
            if d.variable.name.value == name
        )
        return {
            "message": f"Variable ${name} of type {kind} was provided invalid value"
            + (f" for {'.'.join(steps)} ({explanation})" if steps else f" ({explanation})"),
            "locations": locations,
            "extensions": {
                "code": "INVALID_VARIABLE",
                "value": variables.get(name),
                "problems": [
                    {
                        "path": [int(s) if s.isdigit() else s for s in steps],
                        "explanation": explanation,
                    }
                ],
            },
        }
    if found := _MISSING_VARIABLE.search(error.message):
        name, kind = found.groups()
        return {
            "message": f"Variable ${name} of type {kind} was provided invalid value",
            "locations": locations,
            "extensions": {
                "code": "INVALID_VARIABLE",
                "value": None,
                "problems": [{"path": [], "explanation": "Expected value to not be null"}],
            },
        }
    return {
        "message": error.message,
        "locations": locations,
        "extensions": {"code": "INVALID_VARIABLE", "value": None, "problems": []},
    }


def _execution_error(error: GraphQLError) -> dict[str, Any]:
    answer: dict[str, Any] = {"message": error.message}
    if error.locations:
        answer["locations"] = [{"line": loc.line, "column": loc.column} for loc in error.locations]
    if error.path:
        answer["path"] = list(error.path)
    if error.extensions:
        answer["extensions"] = dict(error.extensions)
    elif error.original_error is not None:
        answer["extensions"] = {
            "code": "INTERNAL_SERVER_ERROR",
            "simulator": repr(error.original_error),
        }
    return answer


# === REQUEST === #


@dataclass
class Answer:
    body: dict[str, Any]
    operation_name: str = ""
    operation_type: str = ""
    requested_cost: int = 0
    deprecated: list[str] = field(default_factory=list)


@lru_cache(maxsize=256)
def _checked(query: str, version: str) -> tuple[DocumentNode, list[GraphQLError], list[str]]:
    """Parse and check a document, once: programs ask the same ones again and again.

    :return: the document, what is wrong with it, and what it uses that is deprecated.
    :raises GraphQLSyntaxError: it is none.
    """
    document, schema = parse(query), load_schema(version)
    problems = validate(schema, document)
    return document, problems, [] if problems else deprecated_fields(schema, document)


class Executor:
    """Answers GraphQL requests of one shop."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        # where the shop can be reached, as the last request knew it
        self.origin = "http://localhost"
        self.bucket = Bucket(shop.config.cost_bucket, shop.config.cost_restore)

    def run(
        self,
        query: str,
        variables: dict[str, Any] | None,
        operation_name: str | None,
        scopes: tuple[str, ...],
        version: str,
    ) -> Answer:
        """Execute; the caller holds the shop's lock."""
        try:
            document, problems, deprecated = _checked(query, version)
        except GraphQLSyntaxError as error:
            where = [{"line": loc.line, "column": loc.column} for loc in error.locations or []]
            return Answer({"errors": [{"message": error.message, "locations": where}]})
        schema = load_schema(version)
        operation = get_operation_ast(document, operation_name)
        name = operation.name.value if operation and operation.name else _root_field(operation)
        kind = operation.operation.value if operation else ""
        answer = Answer({}, name, kind)
        if problems:
            answer.body = {"errors": [_validation_error(p, operation) for p in problems]}
            return answer
        if operation is None:
            answer.body = {"errors": [{"message": "An operation name is required"}]}
            return answer
        answer.deprecated = list(deprecated)
        values = get_variable_values(schema, operation.variable_definitions, variables or {})
        if isinstance(values, list):
            errors = [_variable_error(e, operation, variables or {}) for e in values]
            answer.body = {"data": None, "errors": errors}
            return answer
        fragments = {
            d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)
        }
        costs = Costs(schema, operation, fragments, values, self.shop.config.cost_model)
        answer.requested_cost = requested = costs.requested()
        refusal = self._refuse(requested)
        if refusal:
            answer.body = refusal
            return answer
        context = Context(self.shop, scopes, version, self.origin)
        result = execute(
            schema,
            document,
            root_value=None,
            context_value=context,
            variable_values=variables or {},
            operation_name=operation_name,
            field_resolver=resolve_field,
            type_resolver=resolve_type,
        )
        actual = min(costs.actual(result.data), requested)
        self.bucket.give_back(requested - actual)
        body: dict[str, Any] = {"data": result.data}
        if result.data is not None:
            for override in context.overrides:
                override.apply(result.data)
        if result.errors:
            body["errors"] = [_execution_error(e) for e in result.errors]
        body["extensions"] = {"cost": self.cost(requested, actual)}
        if context.search:
            body["extensions"]["search"] = context.search
        answer.body = body
        return answer

    def cost(self, requested: int, actual: int | None) -> dict[str, Any]:
        return {
            "requestedQueryCost": requested,
            "actualQueryCost": actual,
            "throttleStatus": self.bucket.status(),
        }

    def throttled(self, requested: int) -> dict[str, Any]:
        return {
            "errors": [
                {
                    "message": "Throttled",
                    "extensions": {"code": "THROTTLED", "documentation": f"{_DOCS}/rate-limits"},
                }
            ],
            "extensions": {"cost": self.cost(requested, None)},
        }

    def _refuse(self, requested: int) -> dict[str, Any] | None:
        if requested > MAX_COST:
            return {
                "errors": [
                    {
                        "message": f"Query cost is {requested}, which exceeds the single query max "
                        f"cost limit ({MAX_COST}).\n\nSee {_DOCS}/rate-limits for more "
                        "information on how the cost of a query is calculated.",
                        "extensions": {
                            "code": "MAX_COST_EXCEEDED",
                            "cost": requested,
                            "maxCost": MAX_COST,
                            "documentation": f"{_DOCS}/rate-limits",
                        },
                    }
                ]
            }
        return None if self.bucket.take(requested) else self.throttled(requested)


def _root_field(operation: OperationDefinitionNode | None) -> str:
    if operation is None:
        return ""
    return next(
        (s.name.value for s in operation.selection_set.selections if isinstance(s, FieldNode)), ""
    )


def deprecated_fields(schema: GraphQLSchema, document: Any) -> list[str]:
    """ "Type.field" of every deprecated field a valid document uses."""
    found: list[str] = []
    info = TypeInfo(schema)

    class Finder(Visitor):
        def enter_field(self, node: FieldNode, *_args: Any) -> None:
            definition, parent = info.get_field_def(), info.get_parent_type()
            if (
                definition
                and definition.deprecation_reason
                and isinstance(parent, GraphQLObjectType)
            ):
                found.append(f"{parent.name}.{node.name.value}")

    visit(document, TypeInfoVisitor(info, Finder()))
    return sorted(set(found))
