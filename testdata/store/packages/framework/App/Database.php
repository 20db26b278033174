<?php

declare(strict_types=1);

namespace Magento\Framework\App;

/** Stand-in: the few tables that the sample's pages read, in the database of env.php. */
final class Database
{
    private \PDO $pdo;

    public function __construct(array $connection, private string $prefix)
    {
        if (!extension_loaded('pdo_mysql')) {
            throw new \PDOException('could not find driver: PHP has no extension pdo_mysql');
        }
        [$host, $port] = array_pad(explode(':', (string) ($connection['host'] ?? ''), 2), 2, '3306');
        $this->pdo = new \PDO("mysql:host=$host;port=$port;dbname={$connection['dbname']}", $connection['username'], $connection['password'] ?? '');
    }

    public static function of(DeploymentConfig $config): self
    {
        return new self($config->get('db/connection/default') ?? [], (string) $config->get('db/table_prefix'));
    }

    public function tables(): int
    {
        return count($this->pdo->query('SHOW TABLES')->fetchAll());
    }

    /** @param array<string, string> $config paths of core_config_data */
    public function install(array $config, string $adminUser, string $adminPassword): void
    {
        $p = $this->prefix;
        foreach ([
            "CREATE TABLE {$p}core_config_data (path VARCHAR(255) PRIMARY KEY, value TEXT)",
            "CREATE TABLE {$p}admin_user (username VARCHAR(40) PRIMARY KEY, password VARCHAR(255))",
            "CREATE TABLE {$p}catalog_category_entity (url_key VARCHAR(64) PRIMARY KEY, name VARCHAR(255))",
            "CREATE TABLE {$p}catalog_product_entity (sku VARCHAR(64) PRIMARY KEY, category VARCHAR(64), name VARCHAR(255))",
            "INSERT INTO {$p}catalog_category_entity VALUES ('kitchen', 'Kitchen')",
            "INSERT INTO {$p}catalog_product_entity VALUES ('mug', 'kitchen', 'Mug')",
        ] as $statement) {
            $this->pdo->exec($statement);
        }
        foreach ($config as $path => $value) {
            $this->rows("INSERT INTO {$p}core_config_data VALUES (?, ?)", $path, $value);
        }
        $this->rows("INSERT INTO {$p}admin_user VALUES (?, ?)", $adminUser, password_hash($adminPassword, PASSWORD_DEFAULT));
    }

    public function setting(string $path): ?string
    {
        return $this->rows("SELECT value FROM {$this->prefix}core_config_data WHERE path = ?", $path)[0]['value'] ?? null;
    }

    /** @return array<int, array<string, string>> all, or those with the key */
    public function categories(?string $key = null): array
    {
        return $this->rows("SELECT url_key, name FROM {$this->prefix}catalog_category_entity WHERE ? IN ('', url_key)", $key ?? '');
    }

    /** @return array<int, array<string, string>> all, or those with the key */
    public function products(?string $key = null): array
    {
        return $this->rows("SELECT sku AS url_key, name FROM {$this->prefix}catalog_product_entity WHERE ? IN ('', sku)", $key ?? '');
    }

    private function rows(string $sql, string ...$values): array
    {
        $statement = $this->pdo->prepare($sql);
        $statement->execute($values);
        return $statement->columnCount() === 0 ? [] : $statement->fetchAll(\PDO::FETCH_ASSOC);
    }
}
