package verbs

// Install is the settings of install.
type Install struct {
	Target
	Task
	BuildNum       string `env:"BUILD_NUM" flag:"build-num" doc:"build whose images install; those that the task definition names, if not set"`
	BaseURL        string `env:"MCK_BASE_URL,required" flag:"base-url" doc:"address of the shop, as https://shop.example.com/"`
	AdminUser      string `env:"MCK_ADMIN_USER,required" flag:"admin-user" doc:"name of the first administrator"`
	AdminEmail     string `env:"MCK_ADMIN_EMAIL,required" flag:"admin-email" doc:"the first administrator's mail address"`
	AdminFirstname string `env:"MCK_ADMIN_FIRSTNAME" flag:"admin-firstname" doc:"the first administrator's first name"`
	AdminLastname  string `env:"MCK_ADMIN_LASTNAME" flag:"admin-lastname" doc:"the first administrator's last name"`
	AdminPassword  string `env:"MCK_ADMIN_PASSWORD_SECRET,required" flag:"admin-password-secret" doc:"ARN of the secret or parameter that holds the first administrator's password"`
	SearchHost     string `env:"MCK_SEARCH_HOST,required" flag:"search-host" doc:"host of the search engine, as https://HOST where it speaks TLS"`
	SearchPort     string `env:"MCK_SEARCH_PORT" flag:"search-port" doc:"port of the search engine; 9200 if not set"`
	SearchPrefix   string `env:"MCK_SEARCH_INDEX_PREFIX" flag:"search-index-prefix" doc:"what the names of the search engine's indexes begin with"`
	SearchUser     string `env:"MCK_SEARCH_USER" flag:"search-user" doc:"user of the search engine, if it has users"`
	SearchPassword string `env:"MCK_SEARCH_PASSWORD_SECRET" flag:"search-password-secret" doc:"ARN of the secret or parameter that holds the search engine user's password"`
	Language       string `env:"MCK_LANGUAGE" flag:"language" doc:"default language, as en_US"`
	Currency       string `env:"MCK_CURRENCY" flag:"currency" doc:"default currency, as USD"`
	Timezone       string `env:"MCK_TIMEZONE" flag:"timezone" doc:"default time zone, as Europe/Berlin"`
	DryRun         bool   `env:"MCK_DRY_RUN" flag:"dry-run" doc:"say what would be done, and do nothing"`
	Output
}
