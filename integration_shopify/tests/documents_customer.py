"""The variables of the documents about customers and companies, for ``test_documents``."""

CUSTOMER = "gid://shopify/Customer/1"
COMPANY = "gid://shopify/Company/1"
PAGE = {"first": 250, "after": "abc"}
PARTS = {"locations": 10, "contacts": 10, "catalogs": 5, "roles": 5}
ADDRESS = {
    "firstName": "Anna",
    "lastName": "Muster",
    "company": "",
    "address1": "Hauptstr. 5",
    "address2": "",
    "zip": "10115",
    "city": "Berlin",
    "countryCode": "DE",
    "provinceCode": None,
    "phone": "+49301234",
}
CONSENT = {
    "marketingState": "SUBSCRIBED",
    "marketingOptInLevel": "SINGLE_OPT_IN",
    "consentUpdatedAt": "2026-11-20T10:00:00Z",
}
INPUT = {
    "firstName": "Anna",
    "lastName": "Muster",
    "email": "anna@example.com",
    "phone": "+49301234",
    "locale": "de-DE",
    "taxExempt": True,
    "taxExemptions": ["EU_REVERSE_CHARGE_EXEMPTION_RULE"],
}
METAFIELD = {
    "namespace": "$app",
    "key": "odoo_contact",
    "type": "single_line_text_field",
    "value": "0123",
}
SINCE = "updated_at:>='2026-11-20T10:00:00Z'"
VARIABLES = {
    "customers": [
        {
            "ids": [CUSTOMER],
            "addresses": 10,
            "withMetafields": True,
            "metafields": ["custom.vat"],
            "metafieldCount": 1,
        },
        {
            "ids": [CUSTOMER],
            "addresses": 10,
            "withMetafields": False,
            "metafields": [],
            "metafieldCount": 1,
        },
    ],
    "customer_addresses": [{"id": CUSTOMER, **PAGE}],
    "customer_changes": [
        {"first": 250, "after": None, "query": None},
        {**PAGE, "query": SINCE},
    ],
    "customer_count": [{}],
    "customer_find": [
        {"identifier": {"emailAddress": "anna@example.com"}},
        {"identifier": {"phoneNumber": "+49301234"}},
    ],
    "customer_create": [
        {
            "input": {
                **INPUT,
                "tags": ["vip"],
                "metafields": [METAFIELD],
                "emailMarketingConsent": CONSENT,
                "smsMarketingConsent": CONSENT,
            }
        }
    ],
    "customer_update": [{"input": {"id": CUSTOMER, **INPUT}}],
    "customer_consent": [{"input": {"customerId": CUSTOMER, "emailMarketingConsent": CONSENT}}],
    "customer_sms_consent": [{"input": {"customerId": CUSTOMER, "smsMarketingConsent": CONSENT}}],
    "customer_tags_add": [{"id": CUSTOMER, "tags": ["vip"]}],
    "customer_tags_remove": [{"id": CUSTOMER, "tags": ["vip"]}],
    "customer_address_create": [{"customerId": CUSTOMER, "address": ADDRESS, "setAsDefault": True}],
    "customer_address_update": [
        {
            "customerId": CUSTOMER,
            "addressId": "gid://shopify/MailingAddress/1?model_name=Address",
            "address": ADDRESS,
            "setAsDefault": False,
        }
    ],
    "customer_address_delete": [
        {
            "customerId": CUSTOMER,
            "addressId": "gid://shopify/MailingAddress/1?model_name=Address",
        }
    ],
    "companies": [{"ids": [COMPANY], **PARTS}],
    "company_locations": [{"id": COMPANY, **PAGE, "catalogs": 5}],
    "company_contacts": [{"id": COMPANY, **PAGE, "roles": 5}],
    "company_contact_roles": [{"id": "gid://shopify/CompanyContact/1", **PAGE}],
    "company_location_catalogs": [{"id": "gid://shopify/CompanyLocation/1", **PAGE}],
    "company_changes": [{"first": 250, "after": None, "query": None}, {**PAGE, "query": SINCE}],
    "company_location_changes": [{**PAGE, "query": SINCE}],
}
