"""Which languages the services have that are not asked for them: in their own codes, the main variant first.

Checked against DeepL's list of languages for text translation (without those in beta), LibreTranslate's
model index and Debian's packages, July 2026. deep-translator brings the tables of its engines itself.
"""

# fmt: off
_DEEPL = (
    "AR", "BG", "CS", "DA", "DE", "EL", "ES", "ET", "FI", "FR", "HE", "HU", "ID", "IT", "JA", "KO", "LT",
    "LV", "NB", "NL", "PL", "RO", "RU", "SK", "SL", "SV", "TH", "TR", "UK", "VI",
)
# fmt: on
DEEPL_SOURCES = (*_DEEPL, "EN", "PT", "ZH")
# Bare EN and PT are deprecated as targets, and refused by its client.
DEEPL_TARGETS = (*_DEEPL, "EN-US", "EN-GB", "PT-BR", "PT-PT", "ES-419", "ZH-HANS", "ZH-HANT")

# fmt: off
LIBRETRANSLATE = (
    "ar", "az", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "eo", "es", "et", "eu", "fa", "fi", "fr",
    "ga", "gl", "he", "hi", "hu", "id", "it", "ja", "ko", "ky", "lt", "lv", "ms", "nb", "nl", "pl", "pt",
    "pt-BR", "ro", "ru", "sk", "sl", "sq", "sr", "sv", "th", "tl", "tr", "uk", "ur", "vi", "zh", "zt",
)
# fmt: on
LIBRETRANSLATE_MEANS = {"zt": "zh-Hant"}  # in BCP-47 it is a Zapotec language's beginning

# fmt: off
APERTIUM_PACKAGES = (  # apertium-… of Debian 12; most do both directions
    "eng-spa", "eng-cat", "spa-cat", "spa-ita", "spa-ast", "spa-arg", "fra-cat", "por-cat", "cat-ita",
    "cat-srd", "srd-ita", "oci-fra", "fr-es", "es-pt", "es-gl", "es-ro", "en-gl", "eu-es", "eu-en", "oc-ca",
    "oc-es", "pt-gl", "eo-en", "eo-es", "eo-fr", "eo-ca", "br-fr", "afr-nld", "dan-nor", "swe-dan", "swe-nor",
    "nno-nob", "isl-eng", "isl-swe", "mkd-bul", "mkd-eng", "hbs-eng", "hbs-mkd", "hbs-slv", "bel-rus",
    "rus-ukr", "pol-szl", "ind-zlm", "urd-hin", "arg-cat", "fra-frp",
)
# fmt: on
