"""Django's settings, read from the environment (and a `.env` file beside manage.py).

Mail parameters (Postfix's names) are not here but in `mailcore.conf`; this file holds what Django
and the processes need before a database can be asked.
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

# --- Where things lie -----------------------------------------------------------------------------
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "data"))).absolute()
MAIL_ROOT = DATA_DIR / "mail"  # MAIL_ROOT/benet.com/lisi/Maildir
QUEUE_ROOT = DATA_DIR / "queue"  # messages on the way, one file each
CORRUPT_ROOT = DATA_DIR / "corrupt"  # messages that could not be read
# Sockets of the running processes: local to the machine, wherever the data folder is.
RUN_ROOT = Path(env.str("RUN_DIR", default=str(DATA_DIR / "run"))).absolute()
ATTACH_ROOT = DATA_DIR / "attach"  # uploads of messages being written
TLS_ROOT = DATA_DIR / "tls"
LOG_ROOT = DATA_DIR / "log"


def _secret_key() -> str:
    """The key from the environment, else one made at first use and kept, readable by us alone."""
    if given := env.str("SECRET_KEY", default=""):
        return given
    path = DATA_DIR / "secret_key"
    if path.exists():
        return path.read_text()
    fresh = secrets.token_urlsafe(50)
    try:
        DATA_DIR.mkdir(parents=True, exist_ok=True, mode=0o750)
        # Two first starts at once: the one that comes second reads what the first wrote.
        with contextlib.suppress(FileExistsError):
            # A name that nobody guesses, never through a link: the folder may be another user's than ours.
            temporary = DATA_DIR / f".secret_key.{secrets.token_hex(8)}"
            with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(fresh)
            try:
                os.link(temporary, path)
            finally:
                temporary.unlink()
        return path.read_text()
    except OSError:
        return fresh  # nothing can be kept here: `manage.py check` says so


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
_database["CONN_HEALTH_CHECKS"] = True  # a database that was restarted costs nobody a command
match _database["ENGINE"]:
    case "django.db.backends.sqlite3":
        _database["ENGINE"] = "mailcore.sqlite"
        _database["OPTIONS"] = {
            # A writer waits for its turn at BEGIN, never half way through.
            "transaction_mode": "IMMEDIATE",
            "timeout": 60,
            # FULL: a commit is on the disk when it returns; promise 1 rests on it. A server process moves what the
            # log holds once a second; only where none does, or it cannot keep up, must a commit.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16384;"
            "PRAGMA wal_autocheckpoint=40000; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=1073741824;"
            "PRAGMA journal_size_limit=134217728;",
            **_database.get("OPTIONS", {}),
        }
        _database["CONN_MAX_AGE"] = None  # a file needs no fresh connection
        _database["CONN_HEALTH_CHECKS"] = False
    case "django.db.backends.mysql":
        import pymysql

        pymysql.version_info = (2, 2, 1, "final", 0)  # Django asks for mysqlclient's version
        pymysql.install_as_MySQLdb()
        _database["OPTIONS"] = {
            "charset": "utf8mb4",
            "isolation_level": "read committed",
            # Mailbox names differ by case; the tables are made with this collation.
            "init_command": "SET NAMES utf8mb4 COLLATE utf8mb4_bin, SESSION sql_mode='STRICT_TRANS_TABLES'",
            **_database.get("OPTIONS", {}),
        }
        _database["TEST"] = {"CHARSET": "utf8mb4", "COLLATION": "utf8mb4_bin"}

    case "django.db.backends.postgresql":
        pass
    case unknown:
        raise ImproperlyConfigured(
            f"DATABASE_URL: no database of ours ({unknown}): sqlite:///…, postgres://…, mysql://…"
        )

REDIS_URL = env.str("REDIS_URL", default="")
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False  # its warnings go to the mail log, as everybody's
# A Redis that has gone without a word is noticed.
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 5, "socket_timeout": 30, "health_check_interval": 10}

# --- Django ---------------------------------------------------------------------------------------
_hosts = env.list("ALLOWED_HOSTS", default=[HOST, env.str("MAIL_MYHOSTNAME", default="localhost")])
ALLOWED_HOSTS = [*_hosts, "localhost", "127.0.0.1", "[::1]"]  # /healthz is asked from this machine, too
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
    "django.middleware.gzip.GZipMiddleware",  # pads by chance, and CSRF tokens are masked: BREACH learns nothing
    "whitenoise.middleware.WhiteNoiseMiddleware",
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
# Finds in an OAuth token the address it was issued for: a function token → address or None (docs/sign-in.md).
OAUTH_VERIFIER = env.str("OAUTH_VERIFIER", default="")
OAUTH_INTROSPECTION_URL = env.str("OAUTH_INTROSPECTION_URL", default="")  # with user:password@ of this server
PAM_SERVICE = env.str("PAM_SERVICE", default="youju")  # the file in /etc/pam.d that mailcore.store.auth.pam asks
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
# The overview looks at the records of the domains once an hour.
DNS_WATCH = env.bool("DNS_WATCH", default=True)
LOGIN_URL = "sign-in"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = env.bool("COOKIE_SECURE", default=False)
CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "webmail.views.compose.compose.csrf_failure"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "SAMEORIGIN"

# Views that take files, and the parameter that limits each; elsewhere a file is refused, and bodies are small.
UPLOADS = {
    "compose": "message_size_limit",
    "transfer": "webmail_import_size_limit",
    "contacts-import": "import_size_limit",
    "mailadmin:import": "import_size_limit",
    "mailadmin:postfix": "import_size_limit",
}
FILE_UPLOAD_HANDLERS = [
    "webmail.composing.upload_handler.LimitedUploadHandler",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # served where they lie: nothing has to be collected first
WHITENOISE_MAX_AGE = 86400

# --- Language -------------------------------------------------------------------------------------
# The site's language where neither the user, a cookie nor the browser asks for another.
_names = {"zh_CN": "zh-hans", "zh_TW": "zh-hant"}
_default = env.str("DEFAULT_LANGUAGE", default="zh_CN")
LANGUAGE_CODE = _names.get(_default, _default.replace("_", "-").lower())
# Each in its own words.
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

# --- The webmail, a guest at any IMAP and SMTP server ---------------------------------------------
WEBMAIL = {
    "IMAP_SERVER": env.str("IMAP_SERVER", default=""),  # host:port; empty: the bundled server
    "SMTP_SERVER": env.str("SMTP_SERVER", default=""),
    "SIEVE_SERVER": env.str("SIEVE_SERVER", default=""),  # ManageSieve; with another IMAP server empty means none
    # For how many seconds a message that was sent can be called back, where its writer chose nothing else.
    "UNDO_SECONDS": env.int("WEBMAIL_UNDO_SECONDS", default=10),
    # What the bundled server is asked to call a message back with: (queue id, owner) → its content, or None.
    "RECALL": "mailcore.mta.queue.recall.recall",
    # Who shares the address book of a domain: (address, words, addresses, at most) → (name, address) of each.
    # Where accounts are ours, keeps what a visitor chooses: (user, language, time zone); notices are written in it too.
    "PROFILE_KEEPER": "mailadmin.sign_in.save_profile",
    "COLLEAGUES": "mailcore.store.directory.find_colleagues",
    "EVENTS": "webmail.account.push.application",  # the stream of news, served beside the pages (mailcore.asgi)
    # As a guest the IMAP server judges passwords; else DOOR does, by the accounts here, and a session gets a
    # credential of its own from these two.
    "GUEST": env.bool("WEBMAIL_GUEST", default=False),
    "DOOR": "mailadmin.sign_in.attempt_login",
    "CREDENTIAL_MAKER": "mailcore.store.auth.account_login.make_session_credential",
    "CREDENTIAL_REVOKER": "mailcore.store.auth.account_login.revoke_session_credential",
}

LOGGING_CONFIG = None  # mailcore.logs.writer sets up the mail log; Django's own messages join it
