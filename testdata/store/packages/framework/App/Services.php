<?php

declare(strict_types=1);

namespace Magento\Framework\App;

/**
 * Stand-in: the services env.php names. A connection is all that is asked of them, except for a database whose host is
 * "file:PATH": there the state of the schema is kept in that file, so that a release can be tried without MySQL.
 */
final class Services
{
    private const TIMEOUT_SECONDS = 2;

    public function __construct(private array $config)
    {
    }

    public function hasDatabase(): bool
    {
        return isset($this->config['db']['connection']['default']['host']);
    }

    public function requireAll(): void
    {
        $this->requireDatabase();
        $this->requireCache();
    }

    public function requireDatabase(): void
    {
        $default = $this->config['db']['connection']['default'] ?? [];
        $host = (string) ($default['host'] ?? '');
        if ($this->stateFile() !== null) {
            return;
        }
        [$name, $port] = array_pad(explode(':', $host, 2), 2, (string) ($default['port'] ?? '3306'));
        if ($host === '' || ($error = $this->connect($name, (int) $port)) !== null) {
            throw new \RuntimeException('SQLSTATE[HY000] [2002] ' . ($error ?? 'No such file or directory'));
        }
    }

    public function requireCache(): void
    {
        foreach ($this->config['cache']['frontend'] ?? [] as $frontend) {
            $options = $frontend['backend_options'] ?? [];
            if (!str_ends_with((string) ($frontend['backend'] ?? ''), 'Redis') || !isset($options['server'])) {
                continue;
            }
            $port = (int) ($options['port'] ?? 6379);
            if (($error = $this->connect($options['server'], $port)) !== null) {
                throw new \RuntimeException("Connection to Redis {$options['server']}:$port failed after 2 failures. $error");
            }
        }
    }

    public function requireSearch(): void
    {
        $host = getenv('CONFIG__DEFAULT__CATALOG__SEARCH__OPENSEARCH_SERVER_HOSTNAME');
        $port = getenv('CONFIG__DEFAULT__CATALOG__SEARCH__OPENSEARCH_SERVER_PORT') ?: '9200';
        if ($host !== false && $this->connect($host, (int) $port) !== null) {
            throw new \RuntimeException(
                'Could not validate a connection to the OpenSearch. No alive nodes found in your cluster'
            );
        }
    }

    /** @return array<string, string> what a release has written into the database */
    public function state(): array
    {
        $file = $this->stateFile();
        return $file !== null && file_exists($file) ? json_decode(file_get_contents($file), true) : [];
    }

    public function writeState(array $state): void
    {
        if ($this->stateFile() !== null) {
            Export::write($this->stateFile(), json_encode($state, JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES) . "\n");
        }
    }

    private function stateFile(): ?string
    {
        $host = (string) ($this->config['db']['connection']['default']['host'] ?? '');
        return str_starts_with($host, 'file:') ? substr($host, strlen('file:')) : null;
    }

    private function connect(string $host, int $port): ?string
    {
        $socket = @fsockopen($host, $port, $code, $error, self::TIMEOUT_SECONDS);
        if ($socket === false) {
            return $error !== '' ? $error : 'Connection refused';
        }
        fclose($socket);
        return null;
    }
}
