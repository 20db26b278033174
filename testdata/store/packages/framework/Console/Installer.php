<?php

declare(strict_types=1);

namespace Magento\Framework\Console;

use Magento\Framework\App\Database;
use Magento\Framework\App\DeploymentConfig;
use Magento\Framework\App\Export;

/** Stand-in for setup:install, with what it refuses. */
final class Installer
{
    public const OPTIONS = ['base-url', 'db-host', 'db-name', 'db-user', 'db-password', 'db-prefix', 'key', 'admin-firstname', 'admin-lastname',
        'admin-email', 'admin-user', 'admin-password', 'backend-frontname', 'search-engine', 'opensearch-host', 'opensearch-port',
        'opensearch-index-prefix', 'opensearch-enable-auth', 'opensearch-username', 'opensearch-password', 'language', 'currency', 'timezone',
        'base-url-secure', 'use-secure', 'use-secure-admin', 'db-ssl-ca', 'db-ssl-cert', 'db-ssl-key'];

    public function __construct(private string $root, private DeploymentConfig $config)
    {
    }

    /** @return string what it did */
    public function run(Input $input): string
    {
        if ($this->config->get('install/date') !== null) {
            throw new \RuntimeException('The Magento application is already installed: env.php has an install date.');
        }
        if ($this->config->get('scopes') !== null) {
            throw new \RuntimeException("The default website isn't defined. Set the website and try again.");
        }
        $production = ($_SERVER['MAGE_MODE'] ?? '') === 'production';
        $needed = [$this->config->directory(), "$this->root/var", "$this->root/pub/media"];
        foreach ($production ? $needed : [...$needed, "$this->root/generated", "$this->root/pub/static"] as $directory) {
            if (!is_writable($directory)) {
                throw new \RuntimeException("Missing write permissions to the following paths: $directory");
            }
        }
        if (isset($_SERVER['MAGE_DIRS']) && !isset($_SERVER['MAGE_DIRS']['base']['path'])) {
            throw new \RuntimeException('Magento root directory is not specified.');
        }
        foreach (['admin-user', 'admin-password', 'db-host', 'db-name', 'db-user'] as $needed) {
            if ((string) $input->value($needed) === '') {
                throw new InvalidInput("The \"--$needed\" option requires a value.");
            }
        }
        if ($input->value('opensearch-host') !== null && @fsockopen($input->value('opensearch-host'), (int) $input->value('opensearch-port')) === false) {
            throw new \RuntimeException('Could not validate a connection to the OpenSearch. No alive nodes found in your cluster');
        }
        $connection = ['host' => $input->value('db-host'), 'dbname' => $input->value('db-name'), 'username' => $input->value('db-user'),
            'password' => (string) $input->value('db-password')];
        $prefix = (string) $input->value('db-prefix');
        (new Database($connection, $prefix))->install(
            ['web/unsecure/base_url' => (string) $input->value('base-url')],
            $input->value('admin-user'),
            $input->value('admin-password')
        );
        Export::write($this->config->directory() . "/env.php", "<?php\nreturn " . Export::php([
            'backend' => ['frontName' => $input->value('backend-frontname') ?? 'admin'], 'crypt' => ['key' => (string) $input->value('key')],
            'db' => ['table_prefix' => $prefix, 'connection' => ['default' => $connection]], 'install' => ['date' => date(DATE_RFC2822)],
        ]) . ";\n");
        return '[SUCCESS]: Magento installation complete.';
    }
}
