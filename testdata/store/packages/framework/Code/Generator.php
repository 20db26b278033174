<?php

declare(strict_types=1);

namespace Magento\Framework\Code;

use Magento\Framework\App\Export;

/** Writes factories, proxies and interceptors into generated/code. */
final class Generator
{
    public function __construct(private string $directory)
    {
    }

    public static function isGenerated(string $class): bool
    {
        return str_ends_with($class, 'Factory') || str_ends_with($class, '\\Proxy');
    }

    /** Generates a class named XFactory or X\Proxy. */
    public function generate(string $class): void
    {
        $suffix = str_ends_with($class, '\\Proxy') ? '\\Proxy' : 'Factory';
        $subject = substr($class, 0, -strlen($suffix));
        if (!class_exists($subject) && !interface_exists($subject)) {
            throw new \RuntimeException("Class \"$class\" cannot be generated: \"$subject\" does not exist");
        }
        $suffix === 'Factory' ? $this->factory($class, $subject) : $this->proxy($class, $subject);
    }

    private function factory(string $class, string $subject): void
    {
        $this->write($class, "/** Factory class for @see \\$subject */\nclass {short}\n{\n" .
            "    public function __construct(private \\Magento\\Framework\\ObjectManagerInterface \$objectManager)\n    {\n    }\n\n" .
            "    public function create(array \$data = []): \\$subject\n    {\n" .
            "        return \$this->objectManager->create(\\$subject::class, \$data);\n    }\n}\n");
    }

    private function proxy(string $class, string $subject): void
    {
        $reflection = new \ReflectionClass($subject);
        $keyword = $reflection->isInterface() ? 'implements' : 'extends';
        $body = "/** Proxy class for @see \\$subject */\nclass {short} $keyword \\$subject\n{\n" .
            "    private ?\\$subject \$subject = null;\n\n" .
            "    public function __construct(private \\Magento\\Framework\\ObjectManagerInterface \$objectManager)\n    {\n    }\n\n" .
            "    private function subject(): \\$subject\n    {\n" .
            "        return \$this->subject ??= \$this->objectManager->get(\\$subject::class);\n    }\n";
        foreach ($this->methods($reflection) as $method) {
            $call = '$this->subject()->' . $method->getName() . '(' . Signature::arguments($method) . ')';
            $body .= $this->methodBody($method, $call);
        }
        $this->write($class, $body . "}\n");
    }

    /** @param string[] $plugins classes, in the order they run */
    public function interceptor(string $subject, array $plugins): void
    {
        $reflection = new \ReflectionClass($subject);
        $body = "/** Interceptor class for @see \\$subject */\nclass {short} extends \\$subject " .
            "implements \\Magento\\Framework\\Interception\\InterceptorInterface\n{\n" .
            "    use \\Magento\\Framework\\Interception\\Interceptor;\n\n" .
            '    private const PLUGINS = ' . Export::php($plugins, '    ') . ";\n";
        foreach ($this->methods($reflection) as $method) {
            $call = "\$this->callPlugins('" . $method->getName() . "', func_get_args())";
            $body .= $this->methodBody($method, $call);
        }
        $this->write($subject . '\\Interceptor', $body . "}\n");
    }

    private function methodBody(\ReflectionMethod $method, string $call): string
    {
        $return = Signature::returnsNothing($method) ? '' : 'return ';
        return "\n    " . Signature::method($method) . "\n    {\n        $return$call;\n    }\n";
    }

    /** @return \ReflectionMethod[] */
    private function methods(\ReflectionClass $class): array
    {
        return array_filter(
            $class->getMethods(\ReflectionMethod::IS_PUBLIC),
            static fn(\ReflectionMethod $m): bool => !$m->isStatic() && !$m->isFinal() && !str_starts_with($m->getName(), '__')
        );
    }

    private function write(string $class, string $body): void
    {
        $at = strrpos($class, '\\');
        $content = "<?php\nnamespace " . substr($class, 0, $at) . ";\n\n" . str_replace('{short}', substr($class, $at + 1), $body);
        Export::write($this->directory . '/' . str_replace('\\', '/', $class) . '.php', $content);
    }
}
