from django.urls import include, path

from mailcore.health import healthz

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("", include("webmail.urls")),
    path("", include("mailadmin.urls")),
]
