"""URLs of /api/v1/: one for each path of the table of operations, and the OpenAPI document."""

import re

from django.urls import path

from mailadmin.api import token_auth
from mailadmin.api.openapi import openapi
from mailadmin.api.operations import OPERATIONS

app_name = "api"
urlpatterns = [
    path("openapi.json", openapi, name="openapi"),
    *(
        path(re.sub(r"\{(\w+)\}", r"<str:\1>", each), token_auth.build_view(each), name=each)
        for each in dict.fromkeys(operation.path for operation in OPERATIONS)
    ),
]
