<?php

declare(strict_types=1);

namespace Magento\Framework\App;

/** Stand-in: app/etc/config.php and app/etc/env.php, and MAGENTO_DC_* of the environment over them. */
final class DeploymentConfig
{
    private const PREFIX = 'MAGENTO_DC_';

    private ?array $data = null;

    public function __construct(private string $root)
    {
    }

    public function all(): array
    {
        return $this->data ??= array_replace_recursive($this->file('config.php'), $this->file('env.php'), $this->overrides());
    }

    /** @return mixed the value at a path like "db/connection/default", or null */
    public function get(string $path): mixed
    {
        $value = $this->all();
        foreach (explode('/', $path) as $key) {
            if (!is_array($value) || !array_key_exists($key, $value)) {
                return null;
            }
            $value = $value[$key];
        }
        return $value;
    }

    public function exists(string $name): bool
    {
        return file_exists($this->path($name));
    }

    public function file(string $name): array
    {
        if (!$this->exists($name)) {
            return [];
        }
        $data = include $this->path($name);
        if (!is_array($data)) {
            throw new \RuntimeException("Invalid configuration file: '" . $this->path($name) . "'");
        }
        return $data;
    }

    /** Replaces sections of app/etc/config.php. */
    public function writeConfig(array $sections): void
    {
        $path = $this->path('config.php');
        if (!is_writable(file_exists($path) ? $path : dirname($path))) {
            throw new \RuntimeException("The \"$path\" file doesn't exist or is not writable.");
        }
        $data = array_replace($this->file('config.php'), $sections);
        file_put_contents($path, "<?php\nreturn " . Export::php($data) . ";\n");
        $this->data = null;
    }

    /** @return array<string, string> */
    public function overrides(): array
    {
        $result = [];
        foreach (getenv() as $name => $value) {
            if (!str_starts_with($name, self::PREFIX) || $name === self::PREFIX . '_OVERRIDE') {
                continue;
            }
            $at = &$result;
            foreach (explode('__', strtolower(substr($name, strlen(self::PREFIX)))) as $key) {
                $at = &$at[$key];
            }
            $at = $value;
            unset($at);
        }
        return $result;
    }

    /** Where app/etc is: a path of the store, or what MAGE_DIRS names, as Magento's Filesystem\DirectoryList takes it. */
    public function directory(): string
    {
        return $_SERVER['MAGE_DIRS']['etc']['path'] ?? $this->root . '/app/etc';
    }

    private function path(string $name): string
    {
        return $this->directory() . '/' . $name;
    }
}
