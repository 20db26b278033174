<?php

declare(strict_types=1);

namespace Magento\Framework\Module;

use Magento\Framework\App\DeploymentConfig;
use Magento\Framework\Component\ComponentRegistrar;

/** Stand-in: the modules that are installed and those that config.php enables. */
final class Modules
{
    public function __construct(private DeploymentConfig $config)
    {
    }

    /** @return array<string, string> every installed module's directory, each after the modules its sequence names */
    public function installed(): array
    {
        $paths = ComponentRegistrar::paths(ComponentRegistrar::MODULE);
        $sorted = [];
        $visit = function (string $name) use (&$visit, &$sorted, $paths): void {
            if (isset($sorted[$name]) || !isset($paths[$name])) {
                return;
            }
            $xml = simplexml_load_file($paths[$name] . '/etc/module.xml');
            foreach ($xml->module->sequence->module ?? [] as $before) {
                $visit((string) $before['name']);
            }
            $sorted[$name] = $paths[$name];
        };
        foreach (array_keys($paths) as $name) {
            $visit($name);
        }
        return $sorted;
    }

    public function configured(): bool
    {
        return ($this->config->file('config.php')['modules'] ?? []) !== [];
    }

    /** @return array<string, string> the enabled modules' directories in the order of config.php */
    public function enabled(): array
    {
        $installed = $this->installed();
        $result = [];
        foreach ($this->config->file('config.php')['modules'] ?? [] as $name => $on) {
            if ($on && isset($installed[$name])) {
                $result[$name] = $installed[$name];
            }
        }
        return $result;
    }
}
