"""Django settings, read from the environment (and a `.env` file beside manage.py).

Mail parameters (Postfix's names) are in `mailcore.conf` instead; this module has what Django and the processes need
before the database can be queried.
"""

import contextlib
import os
import secrets
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env", overwrite=False)

DEBUG = env.bool("DEBUG", default=False)

# --- Folders --------------------------------------------------------------------------------------
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "data"))).absolute()
MAIL_ROOT = DATA_DIR / "mail"  # MAIL_ROOT/benet.com/lisi/Maildir
QUEUE_ROOT = DATA_DIR / "queue"  # content files of queued messages
CORRUPT_ROOT = DATA_DIR / "corrupt"  # content files of corrupt messages
# Sockets of the running processes: local to the machine, wherever the data folder is.
RUN_ROOT = Path(env.str("RUN_DIR", default=str(DATA_DIR / "run"))).absolute()
ATTACH_ROOT = DATA_DIR / "attach"  # attachments of drafts
TLS_ROOT = DATA_DIR / "tls"
LOG_ROOT = DATA_DIR / "log"


def _secret_key() -> str:
    """Return the key from the environment, else one created at first use and stored with mode 0600."""
    if key := env.str("SECRET_KEY", default=""):
        return key
    path = DATA_DIR / "secret_key"
    if path.exists():
        return path.read_text()
    new_key = secrets.token_urlsafe(50)
    try:
        DATA_DIR.mkdir(parents=True, exist_ok=True, mode=0o750)
        # Two first starts at once: the second reads the key that the first wrote.
        with contextlib.suppress(FileExistsError):
            # An unpredictable name, and no symlink is followed: the folder may belong to another user.
            temporary = DATA_DIR / f".secret_key.{secrets.token_hex(8)}"
            with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(new_key)
            try:
                os.link(temporary, path)
            finally:
                temporary.unlink()
        return path.read_text()
    except OSError:
        return new_key  # it cannot be stored: `manage.py check` reports that


SECRET_KEY = _secret_key()

# --- Listeners (an empty port switches a service off) ---------------------------------------------
HOST = env.str("HOST", default="127.0.0.1")


def _port(name: str, default: int) -> int | None:
    value = env.str(name, default=str(default)).strip()
    return int(value) if value else None


PORTS: dict[str, int | None] = {
    "smtp": _port("SMTP_PORT", 2525),
    "submission": _port("SUBMISSION_PORT", 5587),
    "submissions": _port("SUBMISSIONS_PORT", 4465),
    "lmtp": _port("LMTP_PORT", 2424),
    "pop3": _port("POP3_PORT", 1110),
    "pop3s": _port("POP3S_PORT", 1995),
    "sieve": _port("SIEVE_PORT", 4190),
    "imap": _port("IMAP_PORT", 1143),
    "imaps": _port("IMAPS_PORT", 1993),
    "web": _port("WEB_PORT", 8000),
}

# --- Database -------------------------------------------------------------------------------------
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'youju.sqlite3'}")}
_database = DATABASES["default"]
_database["CONN_MAX_AGE"] = env.int("CONN_MAX_AGE", default=600)
_database["CONN_HEALTH_CHECKS"] = True  # after a database restart no command fails
match _database["ENGINE"]:
    case "django.db.backends.sqlite3":
        _database["ENGINE"] = "mailcore.sqlite"
        _database["OPTIONS"] = {
            # A writer waits for the write lock at BEGIN, never in the middle of a transaction.
            "transaction_mode": "IMMEDIATE",
            "timeout": 60,
            # FULL: a commit is on the disk when it returns, so that an accepted message is never lost. A server process
            # checkpoints once a second; a commit does so itself only if no server runs, or it cannot keep up.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16384;"
            "PRAGMA wal_autocheckpoint=40000; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=1073741824;"
            "PRAGMA journal_size_limit=134217728;",
            **_database.get("OPTIONS", {}),
        }
        _database["CONN_MAX_AGE"] = None  # a file never needs a new connection
        _database["CONN_HEALTH_CHECKS"] = False
    case "django.db.backends.mysql":
        import pymysql

        pymysql.version_info = (2, 2, 1, "final", 0)  # Django requires mysqlclient's version
        pymysql.install_as_MySQLdb()
        _database["OPTIONS"] = {
            "charset": "utf8mb4",
            "isolation_level": "read committed",
            # Mailbox names are case-sensitive; the tables are created with this collation.
            "init_command": "SET NAMES utf8mb4 COLLATE utf8mb4_bin, SESSION sql_mode='STRICT_TRANS_TABLES'",
            **_database.get("OPTIONS", {}),
        }
        _database["TEST"] = {"CHARSET": "utf8mb4", "COLLATION": "utf8mb4_bin"}

    case "django.db.backends.postgresql":
        pass
    case unknown:
        raise ImproperlyConfigured(
            f"DATABASE_URL: unsupported database ({unknown}): sqlite:///…, postgres://…, mysql://…"
        )

REDIS_URL = env.str("REDIS_URL", default="")
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False  # its warnings go to the mail log like all others
# Detect a Redis that disappeared without closing the connection.
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 5, "socket_timeout": 30, "health_check_interval": 10}

# --- Django ---------------------------------------------------------------------------------------
_hosts = env.list("ALLOWED_HOSTS", default=[HOST, env.str("MAIL_MYHOSTNAME", default="localhost")])
ALLOWED_HOSTS = [*_hosts, "localhost", "127.0.0.1", "[::1]"]  # local health checks request /healthz
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
INSTALLED_APPS = [
    "mailcore",
    "webmail",
    "mailadmin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
BEHIND_PROXY = env.bool("BEHIND_PROXY", default=False)
MIDDLEWARE = [
    *(["mailcore.middleware.forwarded.forwarded_middleware"] if BEHIND_PROXY else []),
    "django.middleware.security.SecurityMiddleware",
    "mailcore.middleware.csp.csp_middleware",
    # padded at random, and CSRF tokens are masked, so that BREACH reveals nothing
    "django.middleware.gzip.GZipMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "mailcore.middleware.no_store.no_store_middleware",
    "mailcore.middleware.nul.nul_middleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "mailcore.middleware.locale.locale_middleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "mailcore.urls"
WSGI_APPLICATION = "mailcore.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "loaders": [("django.template.loaders.cached.Loader", ["django.template.loaders.filesystem.Loader"])],
        },
    }
]
AUTH_USER_MODEL = "mailcore.Account"
AUTHENTICATION_BACKENDS = env.list(
    "AUTHENTICATION_BACKENDS", default=["mailcore.store.auth.account_login.AccountBackend"]
)
# Function that returns the address an OAuth token was issued for, or None (docs/sign-in.md).
OAUTH_VERIFIER = env.str("OAUTH_VERIFIER", default="")
OAUTH_INTROSPECTION_URL = env.str("OAUTH_INTROSPECTION_URL", default="")  # with user:password@ of this server
PAM_SERVICE = env.str("PAM_SERVICE", default="youju")  # the file in /etc/pam.d that mailcore.store.auth.pam uses
PASSWORD_HASHERS = [
    "mailcore.store.credentials.hasher.Argon2Hasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "mailcore.store.credentials.dovecot_hashes.DovecotHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("address", "name")},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# Check the DNS records of the domains once an hour, for the overview page.
DNS_WATCH = env.bool("DNS_WATCH", default=True)
LOGIN_URL = "sign-in"
SESSION_ENGINE = "mailcore.store.auth.web_session_store"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
DEMO = False  # runmailserver --demo sets it: cookies pass without TLS then, as the demo is on loopback only
SESSION_COOKIE_SECURE = env.bool("COOKIE_SECURE", default=True)
CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=31_536_000)  # sent on https only (RFC 6797 §7.2)
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "webmail.views.compose.compose.csrf_failure"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "SAMEORIGIN"

# Views that accept files, and the parameter that limits each; other views refuse files, and their bodies are small.
UPLOADS = {
    "compose": "message_size_limit",
    "transfer": "webmail_import_size_limit",
    "contacts-import": "import_size_limit",
    "mailadmin:import": "import_size_limit",
    "mailadmin:postfix": "import_size_limit",
}
# Lists that Sieve scripts may use (RFC 6134): the beginning of their names → a function of the account's address and
# the rest of the name, which returns an ExternalList or None.
SIEVE_EXTERNAL_LISTS = {"urn:ietf:params:sieve:addrbook:": "webmail.address_book.contact_lists.find_list"}
FILE_UPLOAD_HANDLERS = [
    "webmail.composing.upload_handler.LimitedUploadHandler",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # served in place: collectstatic is not needed
WHITENOISE_MAX_AGE = 86400

# --- Language -------------------------------------------------------------------------------------
# The site's language, used if neither the account, a cookie nor the browser selects another.
_names = {"zh_CN": "zh-hans", "zh_TW": "zh-hant"}
_default = env.str("DEFAULT_LANGUAGE", default="zh_CN")
LANGUAGE_CODE = _names.get(_default, _default.replace("_", "-").lower())
# Names in the languages themselves.
LANGUAGES = [
    ("zh-hans", "简体中文"),
    ("zh-hant", "繁體中文"),
    ("en", "English"),
    ("ja", "日本語"),
    ("ko", "한국어"),
    ("de", "Deutsch"),
    ("fr", "Français"),
    ("es", "Español"),
    ("pt-br", "Português (Brasil)"),
    ("it", "Italiano"),
    ("ru", "Русский"),
    ("uk", "Українська"),
    ("pl", "Polski"),
    ("tr", "Türkçe"),
    ("vi", "Tiếng Việt"),
    ("id", "Bahasa Indonesia"),
    ("th", "ไทย"),
    ("ar", "العربية"),
    ("fa", "فارسی"),
    ("he", "עברית"),
]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = env.str("TZ", default="Asia/Shanghai" if LANGUAGE_CODE == "zh-hans" else "UTC")

# --- Webmail, a client of any IMAP and SMTP server ------------------------------------------------
WEBMAIL = {
    "IMAP_SERVER": env.str("IMAP_SERVER", default=""),  # host:port; empty: the bundled server
    "SMTP_SERVER": env.str("SMTP_SERVER", default=""),
    "SIEVE_SERVER": env.str("SIEVE_SERVER", default=""),  # ManageSieve; empty with another IMAP server: none
    # Default number of seconds during which a sent message can be recalled.
    "UNDO_SECONDS": env.int("WEBMAIL_UNDO_SECONDS", default=10),
    # Function that recalls a message from the bundled server: (queue id, owner) → its content, or None.
    "RECALL": "mailcore.mta.queue.recall.recall",
    # COLLEAGUES finds entries of a domain's shared address book: (address, words, addresses, at most) → (name, address)
    # of each. PROFILE_KEEPER stores what a user of a local account selects: (user, language, time zone); notices are
    # written in that language too.
    "PROFILE_KEEPER": "mailadmin.sign_in.save_profile",
    "COLLEAGUES": "mailcore.store.directory.find_colleagues",
    "EVENTS": "webmail.account.push.application",  # the push stream, served beside the pages (mailcore.asgi)
    # As a guest, the IMAP server verifies passwords; otherwise DOOR does, for local accounts, and a session gets a
    # credential of its own from the two functions below.
    "GUEST": env.bool("WEBMAIL_GUEST", default=False),
    "DOOR": "mailadmin.sign_in.attempt_login",
    "CREDENTIAL_MAKER": "mailcore.store.auth.account_login.make_session_credential",
    "CREDENTIAL_REVOKER": "mailcore.store.auth.account_login.revoke_session_credential",
}

LOGGING_CONFIG = None  # mailcore.logs.writer sets up the mail log, which Django's messages go to as well
