<?php

declare(strict_types=1);

namespace Magento\Framework\Code;

use Magento\Framework\App\Export;
use Magento\Framework\Module\Modules;

/**
 * Stand-in for setup:di:compile: reads the classes of the enabled modules and their di.xml, and writes generated/code and
 * generated/metadata. As the original, it does not clear what is there, and the same input gives the same bytes.
 */
final class Compiler
{
    private const AREAS = ['adminhtml', 'crontab', 'frontend', 'graphql', 'webapi_rest', 'webapi_soap'];

    private Generator $generator;

    public function __construct(private string $root, private Modules $modules)
    {
        $this->generator = new Generator($root . '/generated/code');
    }

    /** @param callable(string): void $progress */
    public function run(callable $progress): void
    {
        $configs = $this->configs();
        $classes = [];
        foreach ($this->modules->enabled() as $directory) {
            array_push($classes, ...(new ClassScanner())->scan($directory));
        }
        $progress('Application code generator... ' . count($classes) . ' classes');
        $arguments = [];
        foreach ($classes as $class) {
            $arguments[$class] = $this->constructorArguments($class);
        }
        ksort($arguments);

        $progress('Interceptors generation...');
        $intercepted = $this->intercept($configs, $classes);

        foreach ($configs as $area => $config) {
            $progress("Area configuration aggregation... $area");
            $this->writeArea($area, $config, $arguments, $intercepted);
        }
        $progress('Interception cache generation...');
        foreach ($configs as $area => $config) {
            $this->writePlugins($area, $config);
        }
    }

    /** Generates what static content needs when there is no compiled code yet; a part of what run writes. */
    public function generateOnDemand(string $module): void
    {
        foreach ((new ClassScanner())->scan($this->modules->installed()[$module]) as $class) {
            $this->constructorArguments($class);
        }
    }

    /** @return array<string, DiConfig> by area, "global" first */
    private function configs(): array
    {
        $global = new DiConfig();
        $global->read($this->root . '/app/etc/di.xml');
        $this->readModules($global, 'etc/di.xml');
        $configs = ['global' => $global];
        foreach (self::AREAS as $area) {
            $configs[$area] = clone $global;
            $this->readModules($configs[$area], "etc/$area/di.xml");
        }
        return $configs;
    }

    private function readModules(DiConfig $config, string $file): void
    {
        foreach ($this->modules->enabled() as $directory) {
            if (file_exists("$directory/$file")) {
                $config->read("$directory/$file");
            }
        }
    }

    /** @return array<string, array> */
    private function constructorArguments(string $class): array
    {
        if (!class_exists($class) && !interface_exists($class)) {
            throw new \RuntimeException("Class \"$class\" does not exist: its file's name or the autoload section of its package is wrong");
        }
        $constructor = (new \ReflectionClass($class))->getConstructor();
        $arguments = [];
        foreach ($constructor?->getParameters() ?? [] as $parameter) {
            $type = $parameter->getType();
            if ($parameter->isDefaultValueAvailable()) {
                $arguments[$parameter->getName()] = ['value' => $parameter->getDefaultValue()];
            } elseif ($type instanceof \ReflectionNamedType && !$type->isBuiltin()) {
                $this->requireType($type->getName(), $parameter, $class);
                $arguments[$parameter->getName()] = ['instance' => $type->getName()];
            }
        }
        return $arguments;
    }

    private function requireType(string $type, \ReflectionParameter $parameter, string $class): void
    {
        $exists = class_exists($type) || interface_exists($type);
        if ($exists && !str_starts_with((string) (new \ReflectionClass($type))->getFileName(), $this->root . '/generated/')) {
            return;
        }
        if (!Generator::isGenerated($type)) {
            throw new \RuntimeException(sprintf(
                'Impossible to process constructor argument %s of %s class: class "%s" does not exist',
                $parameter->getName(),
                $class,
                $type
            ));
        }
        $this->generator->generate($type);
    }

    /** @return array<string, string> class => its interceptor */
    private function intercept(array $configs, array $classes): array
    {
        $all = new DiConfig();
        foreach ($configs as $config) {
            $all->plugins = array_replace_recursive($all->plugins, $config->plugins);
        }
        $plugins = [];
        foreach (array_keys($all->plugins) as $type) {
            foreach ($classes as $class) {
                if (!interface_exists($class) && is_a($class, $type, true)) {
                    $plugins[$class] = [...$plugins[$class] ?? [], ...$all->pluginsOf($type)];
                }
            }
        }
        ksort($plugins);
        $intercepted = [];
        foreach ($plugins as $class => $list) {
            if ($list !== [] && !(new \ReflectionClass($class))->isFinal()) {
                $this->generator->interceptor($class, $list);
                $intercepted[$class] = "$class\\Interceptor";
            }
        }
        return $intercepted;
    }

    private function writeArea(string $area, DiConfig $config, array $arguments, array $intercepted): void
    {
        foreach ($config->arguments as $type => $given) {
            $arguments[$type] = array_replace($arguments[$type] ?? [], $given);
        }
        $preferences = $config->preferences;
        ksort($arguments);
        ksort($preferences);
        $this->metadata($area, ['arguments' => array_filter($arguments), 'preferences' => $preferences, 'instanceTypes' => $intercepted]);
    }

    private function writePlugins(string $area, DiConfig $config): void
    {
        $plugins = [];
        foreach (array_keys($config->plugins) as $type) {
            $plugins[$type] = $config->pluginsOf($type);
        }
        ksort($plugins);
        $scopes = $area === 'global' ? 'primary|global' : "primary|global|$area";
        $this->metadata("$scopes|plugin-list", $plugins);
    }

    private function metadata(string $name, array $data): void
    {
        Export::write("$this->root/generated/metadata/$name.php", "<?php\nreturn " . Export::php($data) . ";\n");
    }
}
