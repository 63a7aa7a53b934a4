"""An answer as it went over the wire, held against botocore's model of the operation.

botocore itself is lenient: what it does not know it drops, and what is missing it leaves out. Here nothing
unknown may be sent, and everything required must be there in the form that the model names.
"""

import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from xml.etree import ElementTree

import cbor2

# The root elements of S3's XML answers: the API reference shows them, botocore's models do not name them.
ROOTS = {
    "GetBucketLocation": "LocationConstraint",
    "GetBucketVersioning": "VersioningConfiguration",
    "ListObjectsV2": "ListBucketResult",
    "ListObjectVersions": "ListVersionsResult",
    "DeleteObjects": "DeleteResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "ListParts": "ListPartsResult",
    "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
    "GetBucketNotificationConfiguration": "NotificationConfiguration",
    "ListBucketMetricsConfigurations": "ListMetricsConfigurationsResult",
    "GetBucketRequestPayment": "RequestPaymentConfiguration",
    "CreateJob": "CreateJobResult",
    "DescribeJob": "DescribeJobResult",
    "ListJobs": "ListJobsResult",
    "UpdateJobStatus": "UpdateJobStatusResult",
    "UpdateJobPriority": "UpdateJobPriorityResult",
    "GetMultiRegionAccessPointRoutes": "GetMultiRegionAccessPointRoutesResult",
}
S3_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

# Errors that any service may answer, without a shape of their own.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html
COMMON_ERRORS = {"AccessDenied", "InvalidClientTokenId", "ServiceUnavailable"}

# Headers of every answer, whatever the operation.
COMMON_HEADERS = {
    "content-length", "content-type", "date", "x-amz-id-2", "x-amz-request-id", "x-amzn-requestid", "smithy-protocol",
    "x-amzn-query-error",
}
# Headers of S3's refusals: they say where the bucket is, and which delete marker is in the way.
ERROR_HEADERS = COMMON_HEADERS | {"etag", "x-amz-bucket-region", "x-amz-delete-marker", "x-amz-version-id"}


def problems(answer):
    """What is wrong with an answer, one line each."""
    if answer.status >= 300:
        return list(_check_error(answer))
    protocol = answer.operation.service_model.resolved_protocol
    return list(_CHECKS[protocol](answer))


# --- successes ----------------------------------------------------------------------------------


def _check_rest_xml(answer):
    shape = answer.operation.output_shape
    fields = dict(shape.members) if shape else {}
    yield from _check_headers(answer, fields)
    payload = shape and shape.serialization.get("payload")
    if payload:
        return
    in_body = {name: field for name, field in fields.items() if "location" not in field.serialization}
    if not answer.body:
        yield from (f"{name} is required" for name in (shape.required_members if shape else ()) if name in in_body)
        return
    if not in_body:
        yield f"{len(answer.body)} bytes in the body of an answer that has none"
        return
    root = ElementTree.fromstring(answer.body)
    name = ROOTS[answer.operation.name]
    wanted = name if answer.operation.service_model.service_name == "s3control" else f"{{{S3_NAMESPACE}}}{name}"
    if root.tag != wanted:
        yield f"the root element is {root.tag}, not {wanted}"
    if answer.operation.name == "GetBucketLocation":  # the root itself is the member
        yield from _check_text(name, fields["LocationConstraint"], root.text or "", root) if root.text else ()
        return
    yield from _check_structure(name, in_body, shape.required_members, root)


def _check_headers(answer, fields):
    def located(location):
        return {
            field.serialization["name"].lower(): field
            for field in fields.values()
            if field.serialization.get("location") == location
        }

    known, prefixes = located("header"), tuple(located("headers"))
    for name, value in answer.headers.items():
        if name in known:
            yield from _check_text(f"header {name}", known[name], value, None)
        elif name not in COMMON_HEADERS and not name.startswith(prefixes):
            yield f"header {name} is unknown to the model"


def _check_query(answer):
    root = ElementTree.fromstring(answer.body)
    namespace = f"{{{answer.operation.service_model.metadata['xmlNamespace']}}}"
    name = answer.operation.name
    if root.tag != f"{namespace}{name}Response":
        yield f"the root element is {root.tag}"
    children = [child.tag for child in root]
    wrapper = answer.operation.output_shape.serialization["resultWrapper"]
    if children != [f"{namespace}{wrapper}", f"{namespace}ResponseMetadata"]:
        yield f"{root.tag} has {children}"
        return
    shape = answer.operation.output_shape
    yield from _check_structure(wrapper, shape.members, shape.required_members, root[0])
    if [child.tag for child in root[1]] != [f"{namespace}RequestId"]:
        yield "ResponseMetadata has more or less than a RequestId"


def _check_structure(path, fields, required, node):
    by_tag = {_tag_of(name, field): field for name, field in fields.items()}
    found = [child.tag.rpartition("}")[2] for child in node]
    for tag in sorted(set(found)):
        if tag not in by_tag:
            yield f"{path}.{tag} is unknown to the model"
            continue
        field = by_tag[tag]
        nodes = [child for child in node if child.tag.rpartition("}")[2] == tag]
        is_flat = field.type_name == "list" and field.serialization.get("flattened")
        if len(nodes) > 1 and not is_flat:
            yield f"{path}.{tag} is there {len(nodes)} times"
        if is_flat:
            for item in nodes:
                yield from _check_node(f"{path}.{tag}[]", field.member, item)
        else:
            yield from _check_node(f"{path}.{tag}", field, nodes[0])
    yield from (f"{path}.{name} is required" for name in required if _tag_of(name, fields[name]) not in found)


def _tag_of(name, field):
    if field.type_name == "list" and field.serialization.get("flattened"):
        return field.member.serialization.get("name", field.serialization.get("name", name))
    return field.serialization.get("name", name)


def _check_node(path, shape, node):
    if shape.type_name == "structure":
        yield from _check_structure(path, shape.members, shape.required_members, node)
    elif shape.type_name == "list":
        wanted = shape.member.serialization.get("name", "member")
        for item in node:
            if item.tag.rpartition("}")[2] != wanted:
                yield f"{path} has {item.tag}, not {wanted}"
            yield from _check_node(f"{path}.{wanted}", shape.member, item)
    else:
        yield from _check_text(path, shape, node.text or "", node)


def _check_text(path, shape, text, node):
    """A scalar as text, in an element (`node`) or in a header."""
    if node is not None and len(node):
        yield f"{path} has elements, not text"
    kind = shape.type_name
    if kind == "timestamp":
        yield from _check_time(path, text, in_header=node is None)
    elif kind == "boolean" and text not in ("true", "false"):
        yield f"{path} is {text!r}, not a boolean"
    elif kind in ("integer", "long") and not re.fullmatch(r"-?\d+", text):
        yield f"{path} is {text!r}, not a whole number"
    elif kind in ("integer", "long"):
        yield from _check_range(path, shape, int(text))
    elif kind == "string":
        yield from _check_enum(path, shape, text)


def _check_time(path, text, in_header):
    try:
        moment = parsedate_to_datetime(text) if in_header else datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")
    except ValueError:
        yield f"{path} is {text!r}, not a time in the form of its place"
        return
    yield from _check_moment(path, moment.replace(tzinfo=UTC))


def _check_moment(path, moment):
    if abs((datetime.now(UTC) - moment).total_seconds()) > 3600:
        yield f"{path} is {moment}, which is not of this test run"


def _check_range(path, shape, number):
    low, high = (shape.metadata.get(limit, number) for limit in ("min", "max"))
    if not low <= number <= high:
        yield f"{path} is {number}, not within {low} and {high}"


def _check_enum(path, shape, text):
    if getattr(shape, "enum", None) and text not in shape.enum:
        yield f"{path} is {text!r}, not one of {shape.enum}"


def _check_cbor(answer):
    if answer.headers.get("smithy-protocol") != "rpc-v2-cbor":
        yield "the header smithy-protocol is not rpc-v2-cbor"
    yield from _check_document(answer, cbor2.loads(answer.body) if answer.body else {}, timestamp=datetime)


def _check_json(answer):
    if answer.headers.get("content-type") != "application/x-amz-json-1.0":
        yield f"the content type is {answer.headers.get('content-type')}"
    yield from _check_document(answer, json.loads(answer.body or "{}"), timestamp=float)


def _check_document(answer, document, timestamp):
    shape = answer.operation.output_shape
    if shape is None:
        yield from (f"{name} is unknown to the model" for name in document)
    else:
        yield from _check_value(shape.name, shape, document, timestamp)


_TYPES = {
    "structure": dict, "map": dict, "list": list, "string": str, "boolean": bool, "double": float, "float": float,
    "integer": int, "long": int,
}


def _check_value(path, shape, value, timestamp):
    kind = shape.type_name
    wanted = timestamp if kind == "timestamp" else _TYPES[kind]
    allowed = (float, int) if wanted is float else (wanted,)
    if type(value) not in allowed:
        yield f"{path} is {value!r}, not a {kind}"
    elif kind == "structure":
        yield from (f"{path}.{name} is unknown to the model" for name in value if name not in shape.members)
        yield from (f"{path}.{name} is required" for name in shape.required_members if name not in value)
        for name in shape.members.keys() & value.keys():
            yield from _check_value(f"{path}.{name}", shape.members[name], value[name], timestamp)
    elif kind == "list":
        for item in value:
            yield from _check_value(f"{path}[]", shape.member, item, timestamp)
    elif kind == "string":
        yield from _check_enum(path, shape, value)
    elif kind == "timestamp":
        yield from _check_moment(path, value if timestamp is datetime else datetime.fromtimestamp(value, UTC))
    elif kind in ("integer", "long"):
        yield from _check_range(path, shape, value)


_CHECKS = {"rest-xml": _check_rest_xml, "query": _check_query, "smithy-rpc-v2-cbor": _check_cbor, "json": _check_json}


# --- errors -------------------------------------------------------------------------------------


def _check_error(answer):
    yield from (f"header {name} in an error" for name in answer.headers.keys() - ERROR_HEADERS)
    service = answer.operation.service_model.service_name
    if service == "cloudwatch":
        yield from _check_document_error(answer)
        return
    if not answer.body:
        # A HEAD and a 304 have none.
        if answer.operation.http["method"] != "HEAD" and answer.status != 304:
            yield "an error without a body"
        return
    document = _xml_tree(ElementTree.fromstring(answer.body))
    code = answer.code
    message = _texts(document, "Message")
    if service == "s3":
        # https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
        yield from _expect(document, {"Error": {"Code": code, "Message": message, "Resource": str, "RequestId": str}})
    elif service == "s3control":
        # botocore and the SDKs look for the error inside an ErrorResponse here, as S3 Control sends it.
        yield from _expect(document, {"ErrorResponse": {"Error": {"Code": code, "Message": message}, "RequestId": str}})
    else:
        # https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html: the sender's fault below 500.
        fault = "Sender" if answer.status < 500 else "Receiver"
        error = {"Type": fault, "Code": code, "Message": message}
        namespace = answer.operation.service_model.metadata["xmlNamespace"]
        yield from _expect(document, {f"{{{namespace}}}ErrorResponse": {"Error": error, "RequestId": str}})
    yield from _check_modelled_status(answer)


def _check_document_error(answer):
    """`__type` names the error's shape; as CloudWatch once spoke the query protocol, a header keeps the code of
    those days. Source: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html (awsQueryCompatible)."""
    is_cbor = answer.operation.service_model.resolved_protocol == "smithy-rpc-v2-cbor"
    document = cbor2.loads(answer.body) if is_cbor else json.loads(answer.body)
    if document.keys() - {"__type", "message", "Message"}:
        yield f"unknown members in an error: {sorted(document)}"
    model = answer.operation.service_model
    name = document.get("__type", "").rpartition("#")[2]
    modelled = {shape.name: shape for shape in model.error_shapes}
    if name not in modelled.keys() | COMMON_ERRORS:
        yield f"__type {document.get('__type')} is no error shape of {model.service_name}"
        return
    code = modelled[name].metadata["error"]["code"] if name in modelled else name
    wanted = f"{code};{'Sender' if answer.status < 500 else 'Receiver'}"
    if answer.headers.get("x-amzn-query-error") != wanted:
        yield f"the header x-amzn-query-error is {answer.headers.get('x-amzn-query-error')}, not {wanted}"
    yield from _check_modelled_status(answer)


def _check_modelled_status(answer):
    """An error that the model knows comes with the model's status."""
    for shape in answer.operation.service_model.error_shapes:
        error = shape.metadata.get("error", {})
        wanted = error.get("httpStatusCode", answer.status)  # the models of jobs name no status
        if answer.code in (shape.name, error.get("code")) and wanted != answer.status:
            yield f"{answer.code} came with status {answer.status}, the model says {wanted}"


def _xml_tree(node, namespace=""):
    """Nested dictionaries; the root keeps its namespace, the others only one that differs."""
    own = node.tag.rpartition("}")[0]
    tag = node.tag.rpartition("}")[2] if namespace and own == namespace else node.tag
    children = {name: value for child in node for name, value in _xml_tree(child, own).items()}
    return {tag: children if len(node) else node.text or ""}


def _texts(document, name):
    for key, value in document.items():
        if key == name:
            return value
        if isinstance(value, dict) and (found := _texts(value, name)):
            return found
    return None


def _expect(actual, wanted, path=""):
    if wanted is str or isinstance(wanted, str):
        if not isinstance(actual, str) or not actual or (isinstance(wanted, str) and actual != wanted):
            yield f"{path} is {actual!r}, not {'a text' if wanted is str else wanted}"
    elif not isinstance(actual, dict) or wanted is None or actual.keys() != wanted.keys():
        yield f"{path or 'the document'} is {actual!r}, not {wanted!r}"
    else:
        for name, value in wanted.items():
            yield from _expect(actual[name], value, f"{path}/{name}")
