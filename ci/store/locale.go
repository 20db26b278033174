package store

import (
	"regexp"
	"slices"
	"strings"
)

// allowedLocales are the locales that Magento knows: \Magento\Framework\Locale\Config::$_allowedLocales of
// magento/framework 103.0.7 (Magento 2.4.7). A module may add to them through di.xml.
var allowedLocales = []string{
	"af_ZA", "ar_DZ", "ar_EG", "ar_KW", "ar_MA", "ar_SA", "az_Latn_AZ", "be_BY",
	"bg_BG", "bn_BD", "bs_Latn_BA", "ca_ES", "cs_CZ", "cy_GB", "da_DK", "de_AT",
	"de_CH", "de_DE", "de_LU", "el_GR", "en_AU", "en_CA", "en_GB", "en_IE",
	"en_NZ", "en_US", "es_AR", "es_BO", "es_CL", "es_CO", "es_CR", "es_ES",
	"es_MX", "es_PA", "es_PE", "es_US", "es_VE", "et_EE", "eu_ES", "fa_IR",
	"fi_FI", "fil_PH", "fr_BE", "fr_CA", "fr_CH", "fr_FR", "fr_LU", "gl_ES",
	"gu_IN", "he_IL", "hi_IN", "hr_HR", "hu_HU", "id_ID", "is_IS", "it_CH",
	"it_IT", "ja_JP", "ka_GE", "km_KH", "ko_KR", "lo_LA", "lt_LT", "lv_LV",
	"mk_MK", "mn_Cyrl_MN", "ms_Latn_MY", "ms_MY", "nb_NO", "nl_BE", "nl_NL", "nn_NO",
	"pl_PL", "pt_BR", "pt_PT", "ro_RO", "ru_RU", "sk_SK", "sl_SI", "sq_AL",
	"sr_Cyrl_RS", "sr_Latn_RS", "sv_FI", "sv_SE", "sw_KE", "th_TH", "tr_TR", "uk_UA",
	"vi_VN", "zh_Hans_CN", "zh_Hant_HK", "zh_Hant_TW",
}

var nonLetters = regexp.MustCompile(`[^A-Za-z]+`)

// A locale is a language, perhaps a script, and a country.
var localePattern = regexp.MustCompile(`^[a-z]{2,3}(?:_[A-Z][a-z]{3})?_[A-Z]{2}$`)

// likelyLocale is the allowed locale that was probably meant, or "": de-de is de_DE; zh_CN, with its script left out, is
// zh_Hans_CN.
func likelyLocale(given string) string {
	want := nonLetters.Split(given, -1)
	for _, l := range allowedLocales {
		parts := strings.Split(l, "_")
		if slices.EqualFunc(parts, want, strings.EqualFold) {
			return l
		}
		if len(parts) == 3 && slices.EqualFunc([]string{parts[0], parts[2]}, want, strings.EqualFold) {
			return l
		}
	}
	return ""
}
