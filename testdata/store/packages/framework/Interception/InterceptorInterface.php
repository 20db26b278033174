<?php

declare(strict_types=1);

namespace Magento\Framework\Interception;

interface InterceptorInterface
{
    /** @param callable(string): object $get makes the instance of a plugin's class */
    public function setPlugins(callable $get): void;
}
