<?php
/**
 * What the image's app/etc/env.php returns: every value comes from the environment, so that one image runs everywhere and
 * holds no secret. It is not in app/etc itself, so that a volume there that outlives an image does not keep an old one.
 * NAME_FILE may name a file with the value of NAME (as container secrets are mounted).
 *
 * What depends on the installed store and on how it was built stands in generated/magecloudkit.php, which the build writes:
 * the caches there are, the name of the Redis backend, and the settings that only a build can honour.
 *
 * MAGENTO_DC_<PATH>, with __ between the keys, sets any other value and wins over all of these. Magento itself applies it
 * to single values only; here it also reaches the sections that Magento reads whole, such as the database connection.
 */

return (static function (): array {
    $get = static function (string $name, ?string $default = null): ?string {
        $value = getenv($name);
        if ($value !== false && $value !== '') {
            return $value;
        }
        $file = getenv($name . '_FILE');
        if ($file === false || $file === '') {
            return $default;
        }
        $value = @file_get_contents($file);
        if ($value === false) {
            throw new \RuntimeException("{$name}_FILE names $file, which cannot be read: mount the secret there, or set $name");
        }
        return rtrim($value, "\r\n");
    };
    $flag = static fn(string $name, bool $default): bool
        => filter_var($get($name, $default ? '1' : '0'), FILTER_VALIDATE_BOOL);
    $words = static fn(string $name): array
        => preg_split('/[\s,]+/', (string) $get($name), -1, PREG_SPLIT_NO_EMPTY);

    $facts = '/var/www/html/generated/magecloudkit.php';
    if (!is_file($facts)) {
        throw new \RuntimeException("There is no $facts: this store was not built by the pipeline that this env.php is of; build it again");
    }
    $built = require $facts;

    $cryptKey = $get('CRYPT_KEY', '');
    $env = [
        'MAGE_MODE' => $get('MAGE_MODE', 'production'),
        'install' => ['date' => $get('MAGE_INSTALL_DATE', 'Mon, 01 Jan 2024 00:00:00 +0000')],
        'backend' => ['frontName' => $get('BACKEND_FRONTNAME', 'admin')],
        'crypt' => ['key' => $cryptKey],
        'directories' => ['document_root_is_pub' => true],
        'x-frame-options' => $get('X_FRAME_OPTIONS', 'SAMEORIGIN'),
        'downloadable_domains' => $words('DOWNLOADABLE_DOMAINS'),
        'resource' => ['default_setup' => ['connection' => 'default']],
        'cache_types' => $built['cache_types'],
        'system' => $built['system'],
    ];

    // MySQL. Magento takes the port as a part of the host; a host with a slash is a socket.
    $host = $get('MYSQL_HOST', '');
    $port = $get('MYSQL_PORT');
    $connection = [
        'host' => $port !== null && strpbrk($host, ':/') === false && $host !== '' ? "$host:$port" : $host,
        'dbname' => $get('MYSQL_DATABASE', ''),
        'username' => $get('MYSQL_USER', ''),
        'password' => $get('MYSQL_PASSWORD', ''),
        'model' => 'mysql4',
        'engine' => 'innodb',
        'initStatements' => $get('MYSQL_INIT_STATEMENTS', 'SET NAMES utf8;'),
        'active' => '1',
    ];
    if ($get('MYSQL_SSL_CA') !== null) {
        // The driver's own class has the constants since PHP 8.4; those of PDO are deprecated from 8.5 on.
        $pdo = class_exists(\Pdo\Mysql::class) ? \Pdo\Mysql::class . '::' : 'PDO::MYSQL_';
        $connection['driver_options'] = array_filter([
            constant($pdo . 'ATTR_SSL_CA') => $get('MYSQL_SSL_CA'),
            constant($pdo . 'ATTR_SSL_CERT') => $get('MYSQL_SSL_CERT'),
            constant($pdo . 'ATTR_SSL_KEY') => $get('MYSQL_SSL_KEY'),
        ]) + [constant($pdo . 'ATTR_SSL_VERIFY_SERVER_CERT') => $flag('MYSQL_SSL_VERIFY', true)];
    }
    $env['db'] = ['table_prefix' => $get('MAGE_TABLE_PREFIX', ''), 'connection' => ['default' => $connection]];

    // Caches: in Redis (or Valkey) when there is one, else in var/cache. A host may be tls://NAME.
    $frontends = ['default' => [], 'page_cache' => []];
    if ($get('CACHE_PREFIX') !== null) {
        $frontends = array_fill_keys(array_keys($frontends), ['id_prefix' => $get('CACHE_PREFIX')]);
    }
    if ($get('REDIS_CACHE_HOST') !== null) {
        foreach (['default' => ['REDIS_CACHE', '0', '1'], 'page_cache' => ['REDIS_PAGE_CACHE', '1', '0']] as $name => $of) {
            [$prefix, $database, $compress] = $of;
            $frontends[$name] += [
                'backend' => $built['cache_backend'],
                'backend_options' => [
                    'server' => $get($prefix . '_HOST', $get('REDIS_CACHE_HOST')),
                    'port' => $get($prefix . '_PORT', $get('REDIS_CACHE_PORT', '6379')),
                    'database' => $get($prefix . '_DB', $database),
                    'password' => $get($prefix . '_PASSWORD', $get('REDIS_CACHE_PASSWORD', '')),
                    'compress_data' => $get($prefix . '_COMPRESS', $compress),
                ],
            ];
        }
    }
    $env['cache'] = [
        'frontend' => array_filter($frontends),
        'allow_parallel_generation' => $flag('CACHE_ALLOW_PARALLEL_GENERATION', false),
        // The same in every container, and not to be guessed without the key.
        'graphql' => ['id_salt' => $get('GRAPHQL_ID_SALT', substr(hash_hmac('sha256', 'graphql/id_salt', $cryptKey), 0, 32))],
    ];

    // Sessions: in Redis when there is one for them, else in the database: never in files of one container.
    $env['session'] = ['save' => 'db'];
    if ($get('REDIS_SESSION_HOST') !== null) {
        $env['session'] = [
            'save' => 'redis',
            'redis' => [
                'host' => $get('REDIS_SESSION_HOST'),
                'port' => $get('REDIS_SESSION_PORT', '6379'),
                'password' => $get('REDIS_SESSION_PASSWORD', ''),
                'database' => $get('REDIS_SESSION_DB', '2'),
                'timeout' => $get('REDIS_SESSION_TIMEOUT', '2.5'),
                'persistent_identifier' => '',
                'compression_threshold' => '2048',
                'compression_library' => 'gzip',
                'log_level' => $get('REDIS_SESSION_LOG_LEVEL', '4'),
                'max_concurrency' => $get('REDIS_SESSION_MAX_CONCURRENCY', '20'),
                'break_after_frontend' => '5',
                'break_after_adminhtml' => '30',
                'first_lifetime' => '600',
                'bot_first_lifetime' => '60',
                'bot_lifetime' => '7200',
                'disable_locking' => $get('REDIS_SESSION_DISABLE_LOCKING', '0'),
                'min_lifetime' => '60',
                'max_lifetime' => '2592000',
            ],
        ];
    }

    $env['lock'] = ['provider' => $get('LOCK_PROVIDER', 'db'), 'config' => array_filter(['prefix' => $get('LOCK_PREFIX')])];

    $env['queue'] = ['consumers_wait_for_messages' => $flag('QUEUE_CONSUMERS_WAIT_FOR_MESSAGES', true) ? 1 : 0];
    if ($get('AMQP_HOST') !== null) {
        $env['queue']['default_connection'] = 'amqp';
        $env['queue']['amqp'] = [
            'host' => $get('AMQP_HOST'),
            'port' => $get('AMQP_PORT', '5672'),
            'user' => $get('AMQP_USER', ''),
            'password' => $get('AMQP_PASSWORD', ''),
            'virtualhost' => $get('AMQP_VHOST', '/'),
            'ssl' => $flag('AMQP_SSL', false) ? 'true' : '',
        ];
    }
    $env['cron_consumers_runner'] = [
        'cron_run' => $flag('CRON_CONSUMERS_RUNNER', true),
        'max_messages' => (int) $get('CRON_CONSUMERS_MAX_MESSAGES', '10000'),
        'consumers' => $words('CRON_CONSUMERS'),
    ];

    foreach ($words('HTTP_CACHE_HOSTS') as $cacheHost) {
        [$name, $cachePort] = array_pad(explode(':', $cacheHost, 2), 2, '80');
        $env['http_cache_hosts'][] = ['host' => $name, 'port' => $cachePort];
    }
    if ($flag('DEPLOYMENT_BLUE_GREEN', false)) {
        $env['deployment'] = ['blue_green' => ['enabled' => true]];
    }
    if ($get('REMOTE_STORAGE_BUCKET') !== null) {
        $credentials = array_filter(['key' => $get('REMOTE_STORAGE_KEY'), 'secret' => $get('REMOTE_STORAGE_SECRET')]);
        $env['remote_storage'] = [
            'driver' => $get('REMOTE_STORAGE_DRIVER', 'aws-s3'),
            'prefix' => $get('REMOTE_STORAGE_PREFIX', ''),
            'config' => array_filter([
                'bucket' => $get('REMOTE_STORAGE_BUCKET'),
                'region' => $get('REMOTE_STORAGE_REGION', $get('AWS_REGION')),
                'endpoint' => $get('REMOTE_STORAGE_ENDPOINT'),
                'credentials' => $credentials,
            ]),
        ];
    }

    foreach (getenv() as $name => $value) {
        if (!str_starts_with($name, 'MAGENTO_DC_') || $name === 'MAGENTO_DC__OVERRIDE') {
            continue;
        }
        $at = &$env;
        foreach (explode('__', strtolower(substr($name, strlen('MAGENTO_DC_')))) as $key) {
            $at = is_array($at) ? $at : [];
            $at = &$at[$key];
        }
        $at = $value;
        unset($at);
    }

    // What MAGENTO_DC__OVERRIDE brings replaces whole sections, in Magento.
    $override = json_decode((string) getenv('MAGENTO_DC__OVERRIDE'), true) ?: [];
    $effective = array_replace($env, $override);
    $missing = array_keys(array_filter([
        'MYSQL_HOST' => ($effective['db']['connection']['default']['host'] ?? '') === '',
        'MYSQL_DATABASE' => ($effective['db']['connection']['default']['dbname'] ?? '') === '',
        'MYSQL_USER' => ($effective['db']['connection']['default']['username'] ?? '') === '',
        'CRYPT_KEY' => ($effective['crypt']['key'] ?? '') === '',
    ]));
    if ($missing !== []) {
        throw new \RuntimeException('The environment lacks ' . implode(', ', $missing)
            . ': set each in the environment of this container (or NAME_FILE, the path of a file with the value)');
    }

    return $env;
})();
