import logging
import time
from dataclasses import replace

import psycopg2

from odoo import api, models
from odoo.tools.urls import urljoin

from ..lib.auth import ACCESS_TOKEN, REFRESH_TOKEN, AuthorizationCode
from ..lib.errors import PAUSING, AuthError, IntegrationError, RetryableError, TokenRefused

_logger = logging.getLogger(__name__)

#: First number of the advisory lock under which one worker renews the tokens of a backend.
LOCK_TOKEN = 0x1A7EC
#: Seconds that others wait for it; longer than a token endpoint may take.
LOCK_SECONDS = 45
#: Seconds that a token endpoint may take: to connect, between two pieces, altogether.
TIMEOUT = (5.0, 20.0, 30.0)
#: Seconds between "Connect" and the return from the page on which access is granted.
CONSENT_SECONDS = 600


class IntegrationAuth(models.AbstractModel):
    """Gets tokens, keeps them, and renews them: once, however many workers need one.

    Which kind of authentication a backend has is said by its connector, see ``lib/auth.py``. Tokens
    are credentials that nobody typed. A token that only a person can renew ends in
    ``TokenRefused``, which pauses the backend and tells its owner.
    """

    _name = "integration.auth"
    _description = "Integration Authentication"

    # === TOKENS === #

    @api.model
    def _access_token(self, backend, refused=None):
        """Return an access token of ``backend``; a new one where there is none that is valid.

        One worker at a time asks for it, the others take the token that it has got.

        :param str refused: the token that the service no longer takes.
        :raises TokenRefused: when a person has to act; the text says how.
        :raises RetryableError: when none can be had just now.
        """
        token = backend._token(ACCESS_TOKEN)
        if token and token != refused:
            return token
        with self.env.registry.cursor() as lock:
            self._lock(lock, backend)
            # Another transaction reads the tokens: the snapshot of the one that waited is older
            # than what was stored meanwhile.
            with self.env.registry.cursor() as cr:
                fresh = backend.with_env(self.env(cr=cr))
                token = fresh._token(ACCESS_TOKEN)
                if token and token != refused:
                    backend._remember_token(ACCESS_TOKEN, token)
                    return token
                purpose = fresh._token_purpose()
                tokens = self._renewed(fresh)
            # still under the lock, else the next worker would not find them
            kept = self._keep(backend, tokens, purpose)
        if not kept:
            raise RetryableError(
                self.env._(
                    "The settings of %s were changed while an access token was asked for, so the "
                    "token was not kept. Another one is asked for.",
                    backend.display_name,
                ),
                outcome="not_sent",
            )
        return tokens.access

    @api.model
    def _lock(self, cr, backend):
        cr.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_SECONDS}s"])
        try:
            cr.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCK_TOKEN, backend.id])
        except psycopg2.errors.LockNotAvailable:
            waited = True
        else:
            waited = False
        if waited:
            raise RetryableError(
                self.env._(
                    "Another process has been asking for an access token of %s for a long time. "
                    "It is tried again.",
                    backend.display_name,
                ),
                outcome="not_sent",
            )

    @api.model
    def _renewed(self, backend):
        """Return new :class:`~..lib.auth.Tokens`, without a person."""
        connector = backend._connector()
        grant = connector._auth(backend).grant
        if not isinstance(grant, AuthorizationCode):
            scope = grant.scope_separator.join(connector._oauth_scopes(backend))
            tokens = self._request(
                backend, "client_credentials", **({"scope": scope} if scope else {})
            )
            return self._with_scope(tokens, scope)
        refresh_token = backend._token(REFRESH_TOKEN)
        if not refresh_token:
            raise TokenRefused(
                self.env._(
                    "Nobody has granted %s access yet, or the access has expired. Open the "
                    "backend and press Connect.",
                    backend.display_name,
                )
            )
        tokens = self._request(backend, "refresh_token", refresh_token=refresh_token)
        return self._with_scope(tokens, backend._token_scope())

    @api.model
    def _with_scope(self, tokens, asked):
        """Complete what was granted: a service that does not say it grants what it was asked for.

        See RFC 6749, 5.1 and 6.

        :param str asked: what was asked for, or was granted before.
        """
        return replace(tokens, scope=tokens.scope or asked)

    @api.model
    def _request(self, backend, grant_type, **form):
        """Ask the token endpoint; see :meth:`~..lib.auth.OAuth.request_tokens`."""
        connector = backend._connector()
        grant = connector._auth(backend).grant
        url = connector._oauth_address(backend, grant.token_url)
        secrets = [*grant.secret_values(backend._credential)]
        secrets += [
            form[name] for name in ("refresh_token", "code", "code_verifier") if name in form
        ]
        with backend._token_client(url, secrets, timeout=TIMEOUT) as client:
            return grant.request_tokens(client, url, backend._credential, grant_type, **form)

    @api.model
    def _keep(self, backend, tokens, purpose, keep_refresh=True):
        """Store tokens; returns whether they are still good for something.

        :param dict purpose: what they were asked for, see ``_token_purpose`` of the backend.
        :param bool keep_refresh: whether the refresh token stays when there is no new one.
        """
        more = {"purpose": purpose, "scope": tokens.scope}
        # the new refresh token first: without it the connection would be lost for good
        if tokens.refresh or not keep_refresh:
            until = tokens.refresh_expires_at
            if not backend._store_token(REFRESH_TOKEN, tokens.refresh, until, **more):
                return False
        return backend._store_token(ACCESS_TOKEN, tokens.access, tokens.expires_at, **more)

    # === CONSENT === #

    @api.model
    def _consent_grant(self, backend):
        """Return the kind of authentication that needs a person's consent, or None."""
        grant = backend._auth_grant()
        return grant if isinstance(grant, AuthorizationCode) else None

    @api.model
    def _callback_url(self, backend):
        """Return where the service sends the person back to; it has to know this address."""
        path = backend._connector()._connector_oauth_callback
        return urljoin(backend.get_base_url(), path)

    @api.model
    def _begin_consent(self, backend, state, verifier):
        """Return what the session has to keep, and the page on which a person grants access.

        :param str state: random text that comes back; good once.
        :param str verifier: random text that proves at the end who began.
        :returns: ``(dict for the session, address)``.
        :raises IntegrationError: when something is missing on the backend.
        """
        connector = backend._connector()
        grant = self._consent_grant(backend)
        redirect_uri = self._callback_url(backend)
        client_id = backend._credential("client_id")
        # what is missing for the code that comes back is said before somebody consents in vain
        grant.secret_values(backend._credential)
        scopes = connector._oauth_scopes(backend)
        url = grant.consent_url(
            connector._oauth_address(backend, grant.authorize_url),
            client_id,
            redirect_uri,
            state,
            verifier,
            scopes,
        )
        pending = {
            "state": state,
            "verifier": verifier,
            "user_id": self.env.uid,
            "backend_id": backend.id,
            "purpose": backend._token_purpose(),
            "scope": grant.scope_separator.join(scopes),
            "redirect_uri": redirect_uri,
            "until": time.time() + CONSENT_SECONDS,
        }
        return pending, url

    @api.model
    def _complete_consent(self, backend, parameters, pending):
        """Exchange the code of a callback for tokens and keep them.

        :param dict parameters: the query of the callback; its state was checked.
        :param dict pending: what the session kept.
        :raises IntegrationError: when access was not granted, or no token is issued.
        """
        connector = backend._connector()
        grant = self._consent_grant(backend)
        changed = AuthError(
            self.env._("The settings of the backend were changed meanwhile. Press Connect.")
        )
        if not grant or backend._token_purpose() != pending["purpose"]:
            raise changed
        if parameters.get("error") or not parameters.get("code"):
            self._refuse_consent(backend, parameters)
        connector._check_consent(backend, parameters)
        proof = {"code_verifier": pending["verifier"]} if grant.pkce else {}
        with self.env.registry.cursor() as lock:
            # a renewal that is on its way must not replace what comes now
            self._lock(lock, backend)
            tokens = self._request(
                backend,
                "authorization_code",
                code=parameters["code"],
                redirect_uri=pending["redirect_uri"],
                **proof,
                **grant.code_params,
            )
            tokens = self._with_scope(tokens, pending["scope"])
            # a refresh token of the consent before must not outlive it
            if not self._keep(backend, tokens, pending["purpose"], keep_refresh=False):
                raise changed
        backend._audit(self.env._("Access was granted in the browser."))

    @api.model
    def _refuse_consent(self, backend, parameters):
        said = parameters.get("error_description") or parameters.get("error") or ""
        said = backend._connector()._redactor().text(said)[:300]
        if parameters.get("error") == "access_denied":
            raise AuthError(
                self.env._(
                    "Access was not granted: somebody pressed Cancel there, or may not grant it. "
                    "Log in as somebody who may, press Connect again, and accept."
                )
            )
        raise AuthError(
            self.env._(
                "The service sent no access back. Press Connect again; if it stays so, check "
                "client ID and redirect address in the settings of the app there. It says: %s",
                said or "-",
            )
        )

    # === KEEPING === #

    @api.model
    def _keep_alive(self):
        """Renew tokens of connected backends that have expired, though no work needs them now.

        So an access that has ended is noticed the same day, and not when an order comes. What
        became of a backend is committed at once.
        """
        Backend = self.env["integration.backend"]
        # sudo: of all companies, whoever runs it
        backends = Backend.sudo().search([("state", "=", "active"), *Backend._connected_here()])
        backends = backends.filtered(lambda backend: backend._auth_grant())
        if not backends:
            return
        cron = self.env["ir.cron"]
        # nobody shall wait for what was written before until the services have answered
        cron._commit_progress(remaining=len(backends))
        for done, backend in enumerate(backends, start=1):
            try:
                self._keep_one_alive(backend.with_company(backend.company_id))
            except Exception:
                # the others must not wait for a bug of this one, nor for whoever writes it, too
                _logger.exception("Tokens of backend %s", backend.id)
                self.env.cr.rollback()
            cron._commit_progress(1, remaining=len(backends) - done)

    @api.model
    def _keep_one_alive(self, backend):
        try:
            backend._ensure_callable()
            self._access_token(backend)
        except PAUSING as error:
            backend._set_paused(error.message)
            backend._tell_paused(error.message)
        except IntegrationError as error:
            _logger.info("Tokens of backend %s: %s", backend.id, error.message)
