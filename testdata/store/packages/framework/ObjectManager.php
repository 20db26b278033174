<?php

declare(strict_types=1);

namespace Magento\Framework;

/** Stand-in: builds objects from what setup:di:compile wrote, and from nothing else. */
final class ObjectManager implements ObjectManagerInterface
{
    /** @var array<string, object> */
    private array $shared = [];

    /** @param array{arguments: array, preferences: array<string, string>, instanceTypes: array<string, string>} $metadata */
    public function __construct(private array $metadata)
    {
        $this->shared[ObjectManagerInterface::class] = $this;
        $this->shared[self::class] = $this;
    }

    public static function fromCompiled(string $root, string $area): self
    {
        $file = "$root/generated/metadata/$area.php";
        if (!file_exists($file)) {
            throw new \RuntimeException("$file does not exist: run bin/magento setup:di:compile");
        }
        return new self(include $file);
    }

    public function get(string $type): object
    {
        $type = $this->metadata['preferences'][$type] ?? $type;
        return $this->shared[$type] ??= $this->create($type);
    }

    public function create(string $type, array $arguments = []): object
    {
        $type = $this->metadata['preferences'][$type] ?? $type;
        $class = $this->metadata['instanceTypes'][$type] ?? $type;
        foreach ($this->metadata['arguments'][$type] ?? [] as $name => $argument) {
            if (!array_key_exists($name, $arguments)) {
                $arguments[$name] = isset($argument['instance']) ? $this->get($argument['instance']) : $argument['value'];
            }
        }
        if (str_ends_with($type, 'Factory') || str_ends_with($type, '\\Proxy')) {
            $arguments += ['objectManager' => $this];
        }
        $object = new $class(...$arguments);
        if ($object instanceof Interception\InterceptorInterface) {
            $object->setPlugins(fn(string $plugin): object => $this->get($plugin));
        }
        return $object;
    }
}
