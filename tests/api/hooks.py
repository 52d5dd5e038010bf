"""What schemathesis has to learn to speak to this API."""

import schemathesis

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
