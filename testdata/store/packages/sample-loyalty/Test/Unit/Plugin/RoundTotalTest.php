<?php

declare(strict_types=1);

namespace Sample\Loyalty\Test\Unit\Plugin;

final class RoundTotalTest
{
}
