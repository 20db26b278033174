<?php

declare(strict_types=1);

namespace Magento\Framework;

interface ObjectManagerInterface
{
    /** @return object the one shared instance of a type */
    public function get(string $type): object;

    /** @return object a new instance; $arguments by parameter name */
    public function create(string $type, array $arguments = []): object;
}
