<?php

declare(strict_types=1);

namespace Magento\Framework\Code;

/** Prints the signatures of methods as PHP. */
final class Signature
{
    public static function method(\ReflectionMethod $method): string
    {
        $return = $method->hasReturnType() ? ': ' . self::type($method->getReturnType(), $method) : '';
        return sprintf(
            'public function %s%s(%s)%s',
            $method->returnsReference() ? '&' : '',
            $method->getName(),
            self::parameters($method),
            $return
        );
    }

    public static function parameters(\ReflectionMethod $method): string
    {
        return implode(', ', array_map(self::parameter(...), $method->getParameters()));
    }

    public static function arguments(\ReflectionMethod $method): string
    {
        return implode(', ', array_map(
            static fn(\ReflectionParameter $p): string => ($p->isVariadic() ? '...' : '') . '$' . $p->getName(),
            $method->getParameters()
        ));
    }

    public static function returnsNothing(\ReflectionMethod $method): bool
    {
        return in_array((string) $method->getReturnType(), ['void', 'never'], true);
    }

    private static function parameter(\ReflectionParameter $parameter): string
    {
        $text = $parameter->hasType() ? self::type($parameter->getType(), $parameter->getDeclaringFunction()) . ' ' : '';
        $text .= ($parameter->isPassedByReference() ? '&' : '') . ($parameter->isVariadic() ? '...' : '');
        $text .= '$' . $parameter->getName();
        if ($parameter->isDefaultValueAvailable()) {
            $text .= ' = ' . \Magento\Framework\App\Export::php($parameter->getDefaultValue());
        }
        return $text;
    }

    private static function type(\ReflectionType $type, \ReflectionFunctionAbstract $context): string
    {
        if ($type instanceof \ReflectionNamedType) {
            $name = $type->getName();
            $printed = match (true) {
                $name === 'self' => '\\' . $context->getDeclaringClass()->getName(),
                $type->isBuiltin(), $name === 'static' => $name,
                default => '\\' . $name,
            };
            return ($type->allowsNull() && !in_array($name, ['null', 'mixed'], true) ? '?' : '') . $printed;
        }
        $glue = $type instanceof \ReflectionUnionType ? '|' : '&';
        return implode($glue, array_map(static fn($t): string => self::type($t, $context), $type->getTypes()));
    }
}
