"""URLs of the whole site: health check, autoconfiguration, webmail, administration and API."""

from django.urls import include, path, re_path

from mailcore import autoconfig, stylesheet
from mailcore.health import healthz

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("styles/<slug:name>-<slug:version>.css", stylesheet.stylesheet, name="stylesheet"),
    path("mail/config-v1.1.xml", autoconfig.thunderbird_config),
    path(".well-known/autoconfig/mail/config-v1.1.xml", autoconfig.thunderbird_config),
    re_path(r"^[Aa]uto[Dd]iscover/[Aa]uto[Dd]iscover\.xml$", autoconfig.outlook_config),
    path("mail/profile.mobileconfig", autoconfig.apple_profile, name="apple-profile"),
    path("", include("webmail.urls")),
    path("", include("mailadmin.urls")),
    path("api/v1/", include("mailadmin.api.urls")),
]
