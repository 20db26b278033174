<?php

declare(strict_types=1);

namespace Magento\Framework\Interception;

/** Stand-in: what every generated interceptor shares. Plugins run in order; before and after methods are supported. */
trait Interceptor
{
    /** @var callable(string): object */
    private $getPlugin;

    public function setPlugins(callable $get): void
    {
        $this->getPlugin = $get;
    }

    private function callPlugins(string $method, array $arguments): mixed
    {
        foreach (self::PLUGINS as $plugin) {
            if (method_exists($plugin, 'before' . ucfirst($method))) {
                $arguments = ($this->getPlugin)($plugin)->{'before' . ucfirst($method)}($this, ...$arguments) ?? $arguments;
            }
        }
        $result = parent::$method(...$arguments);
        foreach (self::PLUGINS as $plugin) {
            if (method_exists($plugin, 'after' . ucfirst($method))) {
                $result = ($this->getPlugin)($plugin)->{'after' . ucfirst($method)}($this, $result, ...$arguments);
            }
        }
        return $result;
    }
}
