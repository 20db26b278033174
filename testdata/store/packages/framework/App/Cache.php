<?php

declare(strict_types=1);

namespace Magento\Framework\App;

/**
 * Stand-in for the caches and sessions that env.php names: Redis by its own protocol, files in var/cache for everything else.
 * Like Magento's factory it says nothing about a name that it does not know: it takes files.
 */
final class Cache
{
    private const TIMEOUT_SECONDS = 2;
    private const NAMES = ['redis', 'valkey', 'Magento\\Framework\\Cache\\Backend\\Redis'];

    public function __construct(private string $root, private array $config)
    {
    }

    public function save(string $frontend, string $id, string $value): void
    {
        $of = $this->config['cache']['frontend'][$frontend] ?? [];
        $id = ($of['id_prefix'] ?? '') . $id;
        if (in_array($of['backend'] ?? '', self::NAMES, true)) {
            $this->set($of['backend_options'], 'zc:k:' . $id, $value);
            return;
        }
        Export::write("$this->root/var/cache/" . hash('sha256', $id), $value);
    }

    public function saveSession(string $id, string $value): void
    {
        if (($this->config['session']['save'] ?? '') === 'redis') {
            $this->set(['server' => $this->config['session']['redis']['host']] + $this->config['session']['redis'], 'sess_' . $id, $value);
        }
    }

    private function set(array $options, string $key, string $value): void
    {
        $port = (int) ($options['port'] ?? 6379);
        $socket = @fsockopen((string) $options['server'], $port, $code, $error, self::TIMEOUT_SECONDS);
        if ($socket === false) {
            throw new \RuntimeException("Connection to Redis {$options['server']}:$port failed after 2 failures. $error");
        }
        $password = (string) ($options['password'] ?? '');
        $commands = array_filter([$password === '' ? null : ['AUTH', $password], ['SELECT', (string) ($options['database'] ?? '0')], ['SET', $key, $value, 'EX', '3600']]);
        foreach ($commands as $words) {
            $parts = array_map(static fn(string $w): string => '$' . strlen($w) . "\r\n$w\r\n", $words);
            fwrite($socket, '*' . count($words) . "\r\n" . implode('', $parts));
            $answer = (string) fgets($socket);
            if (!str_starts_with($answer, '+')) {
                throw new \RuntimeException("Redis {$options['server']}:$port answers {$words[0]} with " . trim($answer));
            }
        }
        fclose($socket);
    }
}
